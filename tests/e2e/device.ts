/** A user's device as tests use it: the SDK's client, with a record of all that it was told. */
import type { DescService } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  allWays,
  type Baseline,
  type ClientStore,
  createClient,
  createHttpTransport,
  logIn,
  MemoryClientStore,
  type Message,
  MessageService,
  memoryTokenStore,
  ParleyClient,
  type Presence,
  type SignIn,
  signUp,
  type Way,
} from "../../edge/sdk/index.ts";

/** What every account in these tests has. */
export const password = "correct horse";

/** How devices connect; see {@link connectBy}. */
let ways: readonly Way[] = allWays;

/** From now on devices connect by this way alone. */
export function connectBy(way: Way): void {
  ways = [way];
}

/** Tells the accounts of this file apart from those of others on the same cluster. */
const file = crypto.randomUUID().slice(0, 8);
let accounts = 0;

/** A name that nobody else has. */
export function newUsername(name: string): string {
  return `${name}-${file}-${++accounts}`;
}

/** Makes an account with a name of its own and signs its first device in. */
export async function newAccount(url: string, name = "user"): Promise<SignIn> {
  return signUp({ url, username: newUsername(name), password });
}

/** Makes accounts with one connected device each, which are spread over the edges. */
export async function newDevices(nextUrl: () => string, ...names: string[]): Promise<Device[]> {
  return Promise.all(
    names.map(async (name) => Device.connect(nextUrl(), await newAccount(nextUrl(), name))),
  );
}

/** One device, from its connection on. */
export class Device implements AsyncDisposable {
  readonly client: ParleyClient;
  readonly signIn: SignIn;
  /** Its memory, for the next run of its program. */
  readonly store: ClientStore;
  /** What it was told, in the order of telling. */
  readonly messages: Message[] = [];
  readonly baselines: Baseline[] = [];
  readonly presences: Presence[] = [];
  /** Events without a value. */
  readonly events: ("reset" | "rebuilt" | "caughtUp")[] = [];
  private readonly url: string;
  private readonly watchers = new Set<() => void>();

  private constructor(url: string, client: ParleyClient, signIn: SignIn, store: ClientStore) {
    this.url = url;
    this.client = client;
    this.signIn = signIn;
    this.store = store;
    client.on("message", (message) => this.note(this.messages, message));
    client.on("baseline", (baseline) => this.note(this.baselines, baseline));
    client.on("presence", (presence) => this.note(this.presences, presence));
    for (const name of ["reset", "rebuilt", "caughtUp"] as const) {
      client.on(name, () => this.note(this.events, name));
    }
  }

  /** Connects; a device that has been there before gives its store. Resolves when it is up to date. */
  static async connect(url: string, signIn: SignIn, store?: ClientStore): Promise<Device> {
    const kept = store ?? new MemoryClientStore();
    const tokens = memoryTokenStore(signIn);
    const client = await ParleyClient.open({ url, tokens, store: kept, ways });
    const device = new Device(url, client, signIn, kept);
    await client.connect();
    await device.until(({ events }) => {
      return events.includes("caughtUp") && events.includes("reset") === events.includes("rebuilt");
    });
    return device;
  }

  /** Connects a further device of the same account. */
  async another(url: string = this.url): Promise<Device> {
    const { username: login } = this.signIn;
    return Device.connect(url, await logIn({ url, login, password }));
  }

  get userId(): string {
    return this.signIn.userId;
  }

  /** Message's methods over the socket. */
  get calls(): Client<typeof MessageService> {
    return createClient(MessageService, this.client.transport);
  }

  /** A service's methods over HTTP. */
  http<S extends DescService>(service: S): Client<S> {
    const accessToken = async () => this.signIn.accessToken;
    return createClient(service, createHttpTransport({ url: this.url, accessToken }));
  }

  /** Opens the channel with the other. @returns its id */
  async openDirect({ userId }: Device): Promise<string> {
    return (await this.calls.createDirectChannel({ userId })).channel!.channelId;
  }

  /** Creates a group. @returns its id */
  async createGroup(
    members: readonly { userId: string }[],
    options: { public?: boolean; historyBeforeJoining?: boolean } = {},
  ): Promise<string> {
    const { channel } = await this.calls.createGroup({
      ...options,
      name: "group",
      clientMessageId: this.client.newClientMessageId(),
      userIds: members.map(({ userId }) => userId),
    });
    return channel!.channelId;
  }

  /** Sends a text and waits until it is acknowledged. @returns the message's id */
  async say(channelId: string, text: string): Promise<bigint> {
    return (await this.client.send(channelId, text).result).messageId;
  }

  /** The texts that it was told of in a channel. */
  texts(channelId: string): string[] {
    return this.told(channelId).flatMap(({ body }) => (body.case === "text" ? [body.value] : []));
  }

  /** All that it was told of in a channel. */
  told(channelId: string): Message[] {
    return this.messages.filter((message) => message.channelId === channelId);
  }

  /** Resolves when it has been told of a text. */
  hears(channelId: string, text: string): Promise<void> {
    return this.until(() => this.texts(channelId).includes(text));
  }

  /** Resolves when something is true of what it was told. */
  until(isTrue: (device: this) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const watch = () => {
        if (!isTrue(this)) return;
        this.watchers.delete(watch);
        resolve();
      };
      this.watchers.add(watch);
      watch();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
  }

  private note<T>(record: T[], value: T): void {
    record.push(value);
    for (const watch of this.watchers) watch();
  }
}
