/** A member who was away for 10,000 messages in 50 channels, two of them large, comes back. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FileClientStore } from "../edge/sdk/client-store-file.ts";
import {
  createClient,
  logIn,
  MessageService,
  memoryTokenStore,
  ParleyClient,
  type SignIn,
  signUp,
} from "../edge/sdk/index.ts";
import { startServer } from "./load-server.ts";
import { signUp as signUpLoad, times } from "./load-users.ts";
import type { Figure, ScenarioOptions, ScenarioResult } from "./scenario.ts";

const password = "a password";
const largeCount = 2;
/** Members of a large channel: above 100 its delivery turns LIVE. */
const largeMembers = 150;
/** Users that one call may add. */
const addedMax = 99;

/** With the store that it had, with one that has lost its position, and as a new device. */
export async function away({ quick, backend }: ScenarioOptions): Promise<ScenarioResult> {
  const channelsCount = quick ? 10 : 50;
  const missed = quick ? 500 : 10_000;
  const server = await startServer(backend);
  const folder = mkdtempSync(join(tmpdir(), "parley-away-"));
  try {
    const [url] = server.urls as [string];
    const sender = await Device.open(url, await newUser(url, "sender"), join(folder, "sender"));
    const signIn = await newUser(url, "away");
    const path = join(folder, "away");
    const first = await Device.open(url, signIn, path);
    await Promise.all([sender.connect(), first.connect()]);
    const channels = await createChannels(server.urls, sender, signIn.userId, channelsCount);
    // Something to have at hand.
    await first.inSync(await sendAll(sender, channels, channelsCount * 20));
    await first.close();
    const newest = await sendAll(sender, channels, missed);

    const figures: Figure[] = [];
    const back = await Device.open(url, signIn, path);
    figures.push(...(await back.measure("away", newest)));
    await back.close();
    const nothing = await Device.open(url, signIn, path);
    figures.push(...(await nothing.measure("nothing new", new Map())));
    await nothing.close();

    const stale = await sendAll(sender, channels, missed);
    await losePosition(path);
    const reset = await Device.open(url, signIn, path);
    figures.push(...(await reset.measure("away, inbox gone", stale)));
    await reset.close();

    const cold = await Device.open(
      url,
      await logIn({ url, login: signIn.username, password }),
      join(folder, "cold"),
    );
    figures.push(...(await cold.measure("new device, newest pages", new Map(), true)));
    await Promise.all([cold.close(), sender.close()]);
    return { figures, notes: [] };
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true });
  }
}

/** The newest message of each channel. */
type Newest = ReadonlyMap<string, bigint>;

/** A device that counts what reaches it. */
class Device {
  readonly client: ParleyClient;
  private readonly store: FileClientStore;
  private readonly traffic: Traffic;
  private readonly newest = new Map<string, bigint>();
  private readonly told = new Set<bigint>();
  private repetitions = 0;
  private onTold = () => {};

  private constructor(client: ParleyClient, store: FileClientStore, traffic: Traffic) {
    this.client = client;
    this.store = store;
    this.traffic = traffic;
    for (const { channelId, lastMessageId } of client.knownChannels) {
      this.newest.set(channelId, lastMessageId);
    }
    client.on("message", ({ channelId, messageId }) => {
      if (this.told.has(messageId)) this.repetitions++;
      this.told.add(messageId);
      this.newest.set(channelId, messageId);
      this.onTold();
    });
  }

  static async open(url: string, signIn: SignIn, path: string): Promise<Device> {
    const store = await FileClientStore.open(path);
    const traffic = { bytes: 0, frames: 0 };
    const client = await ParleyClient.open({
      url,
      tokens: memoryTokenStore(signIn),
      store,
      // The check would come in between.
      checkIntervalMs: 0,
      WebSocket: counting(traffic) as never,
    });
    return new Device(client, store, traffic);
  }

  get calls() {
    return createClient(MessageService, this.client.transport);
  }

  async connect(): Promise<void> {
    const caughtUp = new Promise<void>((resolve) => this.client.on("caughtUp", () => resolve()));
    await this.client.connect();
    await caughtUp;
  }

  /** Resolves when the newest message of each channel has been told. */
  async inSync(newest: Newest): Promise<void> {
    const isTold = () => [...newest].every(([id, messageId]) => this.newest.get(id) === messageId);
    await new Promise<void>((resolve) => {
      this.onTold = () => isTold() && resolve();
      this.onTold();
    });
  }

  /** Connects, and measures until the newest messages are there. */
  async measure(name: string, newest: Newest, readsPages = false): Promise<Figure[]> {
    const startMs = performance.now();
    await this.connect();
    await this.inSync(newest);
    if (readsPages) {
      const ids: string[] = [];
      for await (const { channelId } of this.client.channels()) ids.push(channelId);
      await times(ids.length, (i) => this.client.history(ids[i]!));
    }
    const ms = performance.now() - startMs;
    const dropped = this.client.knownChannels.reduce((sum, { duplicates }) => sum + duplicates, 0);
    return [
      { name: `${name}: time until in sync`, value: ms, unit: "ms" },
      { name: `${name}: bytes received`, value: this.traffic.bytes, unit: "bytes" },
      { name: `${name}: frames received`, value: this.traffic.frames, unit: "frames" },
      { name: `${name}: messages told`, value: this.told.size, unit: "messages" },
      { name: `${name}: messages told twice`, value: this.repetitions, unit: "messages", aim: "0" },
      { name: `${name}: messages received twice`, value: dropped, unit: "messages" },
    ];
  }

  async close(): Promise<void> {
    await this.client.close();
    await this.store.close();
  }
}

interface Traffic {
  bytes: number;
  frames: number;
}

/** A WebSocket whose messages from the server are counted. */
function counting(traffic: Traffic): typeof WebSocket {
  return class extends WebSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols);
      this.addEventListener("message", ({ data }) => {
        traffic.bytes += (data as ArrayBuffer).byteLength;
        traffic.frames++;
      });
    }
  };
}

function newUser(url: string, username: string): Promise<SignIn> {
  return signUp({ url, username, password });
}

/** Groups of the sender, the member and, in the large ones, many others. @returns their ids */
async function createChannels(
  urls: readonly string[],
  sender: Device,
  userId: string,
  count: number,
): Promise<string[]> {
  const others = (await signUpLoad(urls, largeMembers - 2)).map((user) => user.userId);
  return times(count, async (i) => {
    const { calls, client } = sender;
    const clientMessageId = client.newClientMessageId();
    const userIds = [userId];
    const { channel } = await calls.createGroup({ clientMessageId, name: `group ${i}`, userIds });
    const { channelId } = channel!;
    for (let from = 0; i < largeCount && from < others.length; from += addedMax) {
      await calls.addMembers({
        channelId,
        clientMessageId: client.newClientMessageId(),
        userIds: others.slice(from, from + addedMax),
      });
    }
    return channelId;
  });
}

/** Sends so many messages, one to each channel at a time. */
async function sendAll(
  { client }: Device,
  channels: readonly string[],
  count: number,
): Promise<Newest> {
  const newest = new Map<string, bigint>();
  for (let sent = 0; sent < count; sent += channels.length) {
    await Promise.all(
      channels.map(async (channelId, i) => {
        const text = `message ${sent + i} of somebody who writes a line or so at a time`;
        newest.set(channelId, (await client.send(channelId, text).result).messageId);
      }),
    );
  }
  // Inboxes may be a commit behind the acknowledgement.
  await sleep(1_000);
  return newest;
}

/** As after so long that the inbox holds nothing of what the device lacks. */
async function losePosition(path: string): Promise<void> {
  const store = await FileClientStore.open(path);
  await store.write(new Map([["position", JSON.stringify(["of-another-time", "1", "0"])]]));
  await store.close();
}
