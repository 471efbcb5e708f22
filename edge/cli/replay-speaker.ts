import {
  createClient,
  type EdgeAddresses,
  type Message,
  MessageService,
  ParleyClient,
  type Way,
} from "../sdk/index.ts";
import { untilAnswered } from "./replay-calls.ts";
import type { Shown } from "./replay-check.ts";
import type { Measures } from "./replay-measures.ts";
import type { Turn } from "./replay-plan.ts";
import type { Account } from "./replay-server.ts";

/** Somebody who talks: an account with one connected device, and the record of what it is told. */
export class Speaker {
  readonly account: Account;
  private readonly client: ParleyClient;
  private readonly measures: Measures;
  private readonly giveUp: AbortSignal;
  private readonly toldByChannel = new Map<string, Shown[]>();
  private readonly heard = new Set<string>();
  private readonly waiting = new Map<string, () => void>();

  private constructor(
    account: Account,
    client: ParleyClient,
    measures: Measures,
    giveUp: AbortSignal,
  ) {
    this.account = account;
    this.client = client;
    this.measures = measures;
    this.giveUp = giveUp;
    client.on("message", (message) => this.onMessage(message));
  }

  /** @param giveUp ends further tries of calls that fail */
  static async open(
    url: EdgeAddresses,
    way: Way,
    account: Account,
    measures: Measures,
    giveUp: AbortSignal,
  ): Promise<Speaker> {
    const client = await ParleyClient.open({ url, tokens: account.tokens, ways: [way] });
    return new Speaker(account, client, measures, giveUp);
  }

  get userId(): string {
    return this.client.owner.userId;
  }

  /** Connects. Resolves when the device has its inbox: it is told of all that comes from then on. */
  async connect(): Promise<void> {
    const rebuilt = new Promise<void>((resolve) => {
      this.client.on("rebuilt", () => resolve());
    });
    await this.client.connect();
    await rebuilt;
    this.measures.moves++;
  }

  async close(): Promise<void> {
    await this.client.close();
  }

  /** Opens the channel of the two. @returns its id */
  async openDirectChannel({ userId }: Speaker): Promise<string> {
    const messages = createClient(MessageService, this.client.transport);
    const { channel } = await untilAnswered(this.giveUp, () =>
      messages.createDirectChannel({ userId }),
    );
    return channel!.channelId;
  }

  /** Creates a group with the others in it. @returns its id */
  async createGroup(name: string, others: readonly Speaker[]): Promise<string> {
    const messages = createClient(MessageService, this.client.transport);
    const userIds = others.map(({ userId }) => userId);
    const clientMessageId = this.client.newClientMessageId();
    const { channel } = await untilAnswered(this.giveUp, () =>
      messages.createGroup({ clientMessageId, name, userIds }),
    );
    return channel!.channelId;
  }

  /**
   * Says a turn; its id is known at once. Resolves when it is acknowledged.
   * @throws ConnectError where the text is refused
   */
  async say(channelId: string, turn: Turn): Promise<void> {
    const { clientMessageId, result } = this.client.send(channelId, turn.text);
    turn.clientMessageId = clientMessageId;
    this.measures.onSent(clientMessageId);
    const { messageId } = await result;
    turn.acknowledgedId = messageId;
    this.measures.onAcknowledged(clientMessageId);
  }

  /** Resolves when the device has been told of the text. */
  hears(clientMessageId: string): Promise<void> {
    if (this.heard.has(clientMessageId)) return Promise.resolve();
    return new Promise((resolve) => this.waiting.set(clientMessageId, resolve));
  }

  /** What the device was told of a channel, in the order of telling. */
  told(channelId: string): readonly Shown[] {
    return this.toldByChannel.get(channelId) ?? [];
  }

  private onMessage(message: Message): void {
    const { channelId, messageId, prevMessageId, clientMessageId, senderId, body } = message;
    const text = body.case === "text" ? body.value : undefined;
    const told = this.toldByChannel.get(channelId) ?? [];
    if (told.length === 0) this.toldByChannel.set(channelId, told);
    told.push({ messageId, prevMessageId, clientMessageId, text });
    if (text === undefined) return;
    this.measures.onDelivered(clientMessageId, senderId === this.userId);
    this.heard.add(clientMessageId);
    this.waiting.get(clientMessageId)?.();
    this.waiting.delete(clientMessageId);
  }
}
