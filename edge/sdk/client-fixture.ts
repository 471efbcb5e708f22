/** A client over a {@link FakeEdge}, with time that stands still and everything that it tells. */
import type { Message } from "../../gen/parley/message/v1/message_pb.js";
import { ParleyClient } from "./client.ts";
import type { ParleyClientOptions } from "./client-options.ts";
import { type FakeEdge, me } from "./edge-fake.ts";
import type { ParleyEvents } from "./events.ts";
import { memoryTokenStore, type SignIn } from "./tokens.ts";

/** What tests turn: ManualClock of the mesh fits. */
export interface TestTimers {
  nowMs(): number;
  setTimer(delayMs: number, callback: () => void): { cancel(): void };
  advance(ms: number): void;
}

/** One client with its record. */
export interface Fixture {
  client: ParleyClient;
  /** Every message that it told of. */
  messages: Message[];
  /** Every other event, as its name and value. */
  events: { [N in keyof ParleyEvents]: { name: N; value: ParleyEvents[N] } }[keyof ParleyEvents][];
  /** The texts of a channel's messages, in the order of telling. */
  texts(channelId: string): string[];
  /** Lets time pass and whatever it makes happen. */
  pass(ms: number): Promise<void>;
}

/** A sign-in that lasts. */
export const signIn: SignIn = {
  userId: me,
  username: "ann",
  displayName: "Ann",
  deviceId: "phone00000000000",
  accessToken: "access-1",
  accessExpireTimeMs: Number.MAX_SAFE_INTEGER,
  refreshToken: "refresh-1",
  refreshExpireTimeMs: Number.MAX_SAFE_INTEGER,
};

/** Opens a client; it is not connected yet. */
export async function openFixture(
  edge: FakeEdge,
  timers: TestTimers,
  options: Partial<ParleyClientOptions> = {},
): Promise<Fixture> {
  const client = await ParleyClient.open({
    url: "http://edge.test",
    tokens: memoryTokenStore(signIn),
    WebSocket: edge.WebSocket,
    fetch: () => Promise.reject(new TypeError("there is no HTTP here")),
    timers,
    random: () => 0.5,
    ...options,
  });
  const messages: Message[] = [];
  const events: Fixture["events"] = [];
  const names = [
    "presence",
    "revised",
    "state",
    "caughtUp",
    "reset",
    "rebuilt",
    "baseline",
    "sent",
    "refused",
    "renamed",
    "storeFailed",
  ] as const;
  for (const name of names) {
    client.on(name, (value) => events.push({ name, value } as Fixture["events"][number]));
  }
  client.on("message", (message) => messages.push(message));
  return {
    client,
    messages,
    events,
    texts: (channelId) =>
      messages
        .filter((message) => message.channelId === channelId && message.body.case === "text")
        .map(({ body }) => body.value as string),
    async pass(ms) {
      // In small steps, so that what one timer starts is under way before the next.
      for (let left = ms; left > 0; left -= 250) {
        timers.advance(Math.min(250, left));
        await settled();
      }
    },
  };
}

/** Connects and catches up. */
export async function connected(fixture: Fixture): Promise<Fixture> {
  await fixture.client.connect();
  await settled();
  return fixture;
}

/** All microtasks have run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
