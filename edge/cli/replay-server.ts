/** What a replay asks a server for over HTTP, whatever happens to the server meanwhile. */
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import {
  createClient,
  createHttpTransport,
  EdgeAddresses,
  errorReason,
  logIn,
  MessageOrder,
  MessageService,
  memoryTokenStore,
  signUp,
  type TokenStore,
} from "../sdk/index.ts";
import { untilAnswered } from "./replay-calls.ts";
import { type Shown, shown } from "./replay-check.ts";

/** A user's account. */
export interface Account {
  username: string;
  /** Shared with the device that connects. */
  tokens: TokenStore;
}

/** Messages to a page of history: the most that the server gives. */
const pageSize = 200;
const callTimeoutMs = 15_000;
/** A token that ends within this time is not used any more. */
const accessMarginMs = 60_000;

/** The server, as far as no connection is needed. */
export class Server {
  private readonly urls: readonly string[];
  private readonly url: EdgeAddresses;
  private turn = 0;
  private readonly password = crypto.randomUUID();
  private readonly giveUp: AbortSignal;
  private readonly messages: Client<typeof MessageService>;

  /** @param giveUp ends further tries of calls that fail */
  constructor(urls: readonly string[], giveUp: AbortSignal) {
    this.urls = urls;
    this.url = new EdgeAddresses(urls);
    this.giveUp = giveUp;
    this.messages = createClient(MessageService, createHttpTransport({ url: this.url }));
  }

  /**
   * The edges for one connection: each connection begins with another one. Of one alone clients go
   * on to the edges that they are assigned.
   */
  nextUrl(): EdgeAddresses {
    if (this.urls.length === 1) return EdgeAddresses.of(this.urls[0]!);
    const at = this.turn++ % this.urls.length;
    return new EdgeAddresses([...this.urls.slice(at), ...this.urls.slice(0, at)]);
  }

  /** Makes an account. */
  async signUp(username: string): Promise<Account> {
    const { url, password } = this;
    const signIn = await untilAnswered(this.giveUp, async (triesBefore) => {
      try {
        return await signUp({ url, username, password });
      } catch (error) {
        // An earlier try has made it, and its answer was lost.
        if (triesBefore === 0 || errorReason(error) !== "USERNAME_TAKEN") throw error;
        return logIn({ url, login: username, password });
      }
    });
    return { username, tokens: memoryTokenStore(signIn) };
  }

  /** A channel's whole history, the oldest message first. */
  async history(account: Account, channelId: string): Promise<Shown[]> {
    const messages: Shown[] = [];
    for (let pageToken = ""; ; ) {
      const page = await untilAnswered(this.giveUp, () =>
        this.historyPage(account, channelId, pageToken),
      );
      messages.push(...page.messages.map(shown));
      if (page.nextPageToken === "") return messages;
      pageToken = page.nextPageToken;
    }
  }

  private async historyPage(account: Account, channelId: string, pageToken: string) {
    const headers = { Authorization: `Bearer ${await this.accessToken(account)}` };
    const page = await this.messages.listMessages(
      { channelId, pageSize, pageToken, order: MessageOrder.OLDEST_FIRST },
      { headers, timeoutMs: callTimeoutMs },
    );
    if (page.degraded) throw new ConnectError("the page is degraded", Code.Unavailable);
    return page;
  }

  /** The account's token. A long replay outlives it, and signs in anew. */
  private async accessToken({ username, tokens }: Account): Promise<string> {
    let signIn = (await tokens.load())!;
    if (signIn.accessExpireTimeMs - accessMarginMs < Date.now()) {
      signIn = await logIn({ url: this.url, login: username, password: this.password });
      await tokens.save(signIn);
    }
    return signIn.accessToken;
  }
}
