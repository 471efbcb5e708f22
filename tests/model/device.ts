/** A device of the model test: an app over the SDK that comes and goes, and what it has seen. */
import {
  type ClientStore,
  createClient,
  MemoryClientStore,
  type Message,
  MessageService,
  memoryTokenStore,
  ParleyClient,
  type Refused,
  type Sent,
  type SignIn,
} from "../../edge/sdk/index.ts";

/** What the app knows of a channel, from the SDK's events alone; it outlives the program. */
export interface View {
  /** Messages are told only after this one. */
  baselineId: bigint;
  /** By id, in the order of telling. */
  readonly messages: Map<bigint, Message>;
  /** Messages that have changed since in a way that was not told. */
  readonly stale: Set<bigint>;
}

/** Hears what becomes of a device, in whichever life of its program. */
export interface Outcomes {
  onRebuilt(): void;
  onSent(sent: Sent): void;
  onRefused(refused: Refused): void;
}

/** One device. */
export class ModelDevice {
  readonly name: string;
  readonly url: string;
  readonly signIn: SignIn;
  readonly views = new Map<string, View>();
  /** Broken promises of the SDK. */
  readonly faults: string[] = [];
  client!: ParleyClient;
  isOnline = false;
  /** Telling anew what was told is right after a crash. */
  private hasCrashed = false;
  private readonly outcomes: Outcomes;
  private readonly store = new MemoryClientStore();
  private sockets = new Set<WebSocket>();
  private life = { isAlive: false };

  constructor(name: string, url: string, signIn: SignIn, outcomes: Outcomes) {
    this.name = name;
    this.url = url;
    this.signIn = signIn;
    this.outcomes = outcomes;
  }

  /** Message's methods over the socket. */
  get calls() {
    return createClient(MessageService, this.client.transport);
  }

  /** Starts the program; it does not connect yet. */
  async start(): Promise<void> {
    const life = { isAlive: true };
    const sockets = new Set<WebSocket>();
    this.life = life;
    this.sockets = sockets;
    this.client = await ParleyClient.open({
      url: this.url,
      tokens: memoryTokenStore(this.signIn),
      store: mortal(this.store, life),
      // Reconnects without a pause, and checks against the history soon.
      random: () => 0,
      WebSocket: class extends WebSocket {
        constructor(url: string | URL, protocols?: string | string[]) {
          super(url, protocols);
          sockets.add(this);
          this.addEventListener("close", () => sockets.delete(this));
        }
      } as never,
    });
    this.client.on("sent", (sent) => life.isAlive && this.outcomes.onSent(sent));
    this.client.on("refused", (refused) => life.isAlive && this.outcomes.onRefused(refused));
    this.client.on("rebuilt", () => life.isAlive && this.outcomes.onRebuilt());
    const lastTold = new Map<string, number>();
    this.client.on("baseline", ({ channelId, messageId }) => {
      if (life.isAlive) this.view(channelId).baselineId = messageId;
    });
    this.client.on("revised", ({ channelId, messageId, message }) => {
      if (!life.isAlive) return;
      const view = this.view(channelId);
      const known = view.messages.get(messageId);
      if (!message) view.stale.add(messageId);
      // Of two the greater sequence counts.
      else if (known && message.revisionSequence >= known.revisionSequence) {
        view.messages.set(messageId, message);
      }
    });
    this.client.on("message", (message) => {
      if (life.isAlive) this.onMessage(message, lastTold);
    });
  }

  /** Connects, and stays connected. */
  async goOnline(): Promise<void> {
    if (this.isOnline) return;
    this.isOnline = true;
    await this.client.connect();
  }

  /** Ends the program properly and starts it again, offline. */
  async goOffline(): Promise<void> {
    if (!this.isOnline) return;
    this.isOnline = false;
    await this.client.close();
    await this.start();
  }

  /** Ends the program at once: what is not in the store now never will be. It starts offline. */
  async crash(): Promise<void> {
    this.life.isAlive = false;
    this.hasCrashed = true;
    this.isOnline = false;
    await this.client.close();
    await this.start();
  }

  /** Loses the connection; the SDK makes another. */
  cut(): void {
    for (const socket of this.sockets) socket.close();
  }

  /** As if the inbox no longer held what the device lacks: everything is rebuilt. */
  async loseInbox(): Promise<void> {
    await this.goOffline();
    await this.client.close();
    await this.store.write(new Map([["position", JSON.stringify(["of-another-time", "7", "0"])]]));
    await this.start();
  }

  /** A message that it was told of in a channel, so many before the last one. */
  told(channelId: string, before: number): bigint | undefined {
    return [...(this.views.get(channelId)?.messages.keys() ?? [])].at(-1 - before);
  }

  /** Resolves when every text has an outcome. */
  async drained(): Promise<void> {
    const { client } = this;
    while (client.queuedSends.length > 0) {
      await new Promise<unknown>((resolve) => {
        const stop = [client.on("sent", done), client.on("refused", done)];
        function done() {
          for (const each of stop) each();
          resolve(undefined);
        }
      });
    }
  }

  private view(channelId: string): View {
    const view = this.views.get(channelId) ?? {
      ...{ baselineId: 0n, messages: new Map(), stale: new Set() },
    };
    this.views.set(channelId, view);
    return view;
  }

  private onMessage(message: Message, lastTold: Map<string, number>): void {
    const { channelId, channelSequence, messageId } = message;
    const { messages } = this.view(channelId);
    const place = `${this.name} was told of ${channelId} #${channelSequence}`;
    if (channelSequence <= (lastTold.get(channelId) ?? 0))
      this.faults.push(`${place} out of order`);
    if (messages.has(messageId) && !this.hasCrashed) this.faults.push(`${place} twice`);
    lastTold.set(channelId, channelSequence);
    messages.set(messageId, message);
  }
}

/** A store that a dead program can't write to. */
function mortal(store: ClientStore, life: { isAlive: boolean }): ClientStore {
  return {
    readAll: () => store.readAll(),
    async write(entries) {
      await new Promise(setImmediate);
      if (life.isAlive) await store.write(entries);
    },
  };
}
