/**
 * The SDK's promise under everything that can go wrong at once: the app is told of each channel's
 * messages once and in order, and what it sends is stored once and in order.
 */
import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { type Fixture, openFixture, settled } from "./client-fixture.ts";
import type { ParleyClientOptions } from "./client-options.ts";
import { MemoryClientStore } from "./client-store.ts";
import { FakeEdge, me } from "./edge-fake.ts";

const channelIds = ["d-ann-bob", "d-ann-cy", "g-1"];

const atChannel = ["send", "hear", "skip", "omit", "repeat"] as const;
const anywhere = [
  "loseAnswer",
  "swallowAnswer",
  "refuse",
  "storeAndRefuse",
  "cut",
  "down",
  "up",
  "degrade",
  "heal",
  "trim",
  "newEpoch",
  "restart",
  "crash",
] as const;

/** One thing that happens. */
interface Step {
  what: (typeof atChannel)[number] | (typeof anywhere)[number] | "pass";
  channelId: string;
  ms: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  what: fc.oneof(
    { weight: 10, arbitrary: fc.constantFrom(...atChannel) },
    { weight: 5, arbitrary: fc.constantFrom(...anywhere) },
    { weight: 3, arbitrary: fc.constant("pass" as const) },
  ),
  channelId: fc.constantFrom(...channelIds),
  ms: fc.constantFrom(0, 250, 1_000, 6_000, 20_000),
});

const unavailable = { code: Code.Unavailable, reason: "UNAVAILABLE", message: "away" };

/** A run of a device, over several lives of its program. */
class Run {
  readonly edge = new FakeEdge();
  readonly clock = new ManualClock();
  readonly sent: { channelId: string; text: string }[] = [];
  readonly told: { channelId: string; channelSequence: number }[] = [];
  crashes = 0;
  private readonly checkIntervalMs: number;
  private readonly store = new MemoryClientStore();
  private fixture!: Fixture;
  private life = { alive: true };

  constructor(checkIntervalMs: number) {
    this.checkIntervalMs = checkIntervalMs;
  }

  async open(): Promise<void> {
    const { edge, clock, store, checkIntervalMs } = this;
    // Of a life that has ended nothing has any effect any more.
    const life = { alive: true };
    this.life = life;
    const mortal: Partial<ParleyClientOptions> = {
      checkIntervalMs,
      store: {
        readAll: () => store.readAll(),
        async write(entries) {
          await new Promise(setImmediate);
          if (life.alive) await store.write(entries);
        },
      },
      WebSocket: class extends edge.WebSocket {
        override send(data: Uint8Array<ArrayBuffer>): void {
          if (life.alive) super.send(data);
        }
      },
      timers: {
        nowMs: () => clock.nowMs(),
        setTimer: (ms, callback) => clock.setTimer(ms, () => life.alive && callback()),
      },
    };
    this.fixture = await openFixture(edge, clock, mortal);
    this.fixture.client.on("message", ({ channelId, channelSequence }) => {
      if (life.alive) this.told.push({ channelId, channelSequence });
    });
    this.fixture.client.connect().catch(() => {});
    await settled();
  }

  async take({ what, channelId, ms }: Step): Promise<void> {
    const { edge } = this;
    switch (what) {
      case "send": {
        const text = `sent ${this.sent.length}`;
        this.fixture.client.send(channelId, text);
        this.sent.push({ channelId, text });
        break;
      }
      case "hear":
        edge.text(channelId, "heard");
        break;
      case "skip":
        edge.text(channelId, "skipped", { skipInbox: true });
        break;
      case "omit":
        edge.text(channelId, "large", { withoutBody: true });
        break;
      case "repeat":
        edge.deliver(...edge.channels.get(channelId)!.slice(-2));
        break;
      case "loseAnswer":
        edge.lostAnswers++;
        break;
      case "swallowAnswer":
        edge.swallowedAnswers++;
        break;
      case "refuse":
        edge.sendFaults.push({ error: unavailable, stored: false });
        break;
      case "storeAndRefuse":
        edge.sendFaults.push({ error: unavailable, stored: true });
        break;
      case "cut":
        edge.cut();
        break;
      case "down":
        edge.down = true;
        edge.cut();
        break;
      case "up":
        edge.down = false;
        break;
      case "degrade":
        edge.degradedBelow = edge.channels.get(channelId)!.at(-1)!.messageId;
        break;
      case "heal":
        edge.degradedBelow = 0n;
        break;
      case "trim":
        edge.trimmedTo = edge.inbox.length;
        break;
      case "newEpoch":
        edge.epoch += "x";
        edge.inbox.length = 0;
        edge.trimmedTo = 0;
        edge.cut();
        break;
      case "restart":
        await this.fixture.client.close();
        await this.open();
        break;
      case "crash":
        this.crashes++;
        this.life.alive = false;
        edge.cut();
        await this.open();
        break;
      case "pass":
        // Between other steps nothing passes, not even a microtask: they come on top of each other.
        await this.fixture.pass(ms);
        await settled();
    }
  }

  /** Everything works again, for long enough, and everybody says one more thing. */
  async heal(): Promise<void> {
    const { edge } = this;
    edge.down = false;
    edge.degradedBelow = 0n;
    edge.lostAnswers = 0;
    edge.swallowedAnswers = 0;
    edge.sendFaults = [];
    await this.fixture.pass(70_000);
    for (const channelId of channelIds) edge.text(channelId, "bye");
    await this.fixture.pass(5_000);
    await this.fixture.client.close();
  }
}

describe("the SDK under faults", () => {
  it("[M5] [S2] [S3] [S4] [S5] tells of everything once and in order, sends everything once and in order", async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.constantFrom(0, 60_000), async (steps, checkIntervalMs) => {
        const run = new Run(checkIntervalMs);
        await run.open();
        for (const channelId of channelIds) run.edge.createChannel(channelId);
        await settled();
        for (const step of steps) await run.take(step);
        await run.heal();
        for (const channelId of channelIds) {
          const stored = run.edge.channels.get(channelId)!;
          let told = run.told.filter((message) => message.channelId === channelId);
          // What was not in the store when the program crashed is told again after it.
          if (run.crashes > 0) told = withoutRepetitions(told);
          expect(told.map(({ channelSequence }) => channelSequence)).toEqual(
            stored.map(({ channelSequence }) => channelSequence),
          );
          const texts = stored
            .filter(({ senderId }) => senderId === me)
            .map(({ body }) => body.value);
          const sent = run.sent.filter((send) => send.channelId === channelId);
          // And what was not in the store yet is not sent.
          expect(texts).toEqual(
            sent
              .map(({ text }) => text)
              .filter((text) => run.crashes === 0 || texts.includes(text)),
          );
        }
      }),
      { numRuns: 300 },
    );
  }, 120_000);
});

const steps = fc.array(step, { maxLength: 80, size: "max" });

function withoutRepetitions<T extends { channelSequence: number }>(told: readonly T[]): T[] {
  let last = 0;
  return told.filter(({ channelSequence }) => {
    if (channelSequence <= last) return false;
    last = channelSequence;
    return true;
  });
}
