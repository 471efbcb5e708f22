import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "./clock-manual.ts";
import { InboxFeeds } from "./inbox-feed.ts";
import { ScriptedInbox, turn } from "./inbox-feed-scripted.ts";
import type { FeedDelivery, Follower, ResetReason } from "./subject-feed-following.ts";

/** Keeps what it is given and checks that every entry follows the one before. */
class Device implements Follower {
  position: number;
  readonly got: number[] = [];
  /** What followed what, resets left out. */
  readonly steps: [prev: number, next: number][] = [];
  readonly resets: [ResetReason, number][] = [];
  caughtUpAt: number[] = [];
  events = 0;
  takes = Number.POSITIVE_INFINITY;

  constructor(position = 0) {
    this.position = position;
  }

  deliver(delivery: FeedDelivery): boolean {
    expect(this.takes).toBeGreaterThan(0);
    expect(delivery.prevSequence).toBe(this.position);
    expect(delivery.data).toEqual(new Uint8Array([delivery.sequence & 255]));
    this.steps.push([this.position, delivery.sequence]);
    this.position = delivery.sequence;
    this.got.push(delivery.sequence);
    return --this.takes > 0;
  }

  caughtUp(sequence: number): void {
    expect(sequence).toBe(this.position);
    this.caughtUpAt.push(sequence);
  }

  reset(reason: ResetReason, sequence: number): void {
    this.position = sequence;
    this.resets.push([reason, sequence]);
  }

  event(): void {
    this.events++;
  }
}

function setUp(stored = 0) {
  const inbox = new ScriptedInbox();
  for (let i = 0; i < stored; i++) {
    inbox.store();
    inbox.release("never");
  }
  const clock = new ManualClock();
  const feeds = new InboxFeeds({ streams: inbox.streams, clock });
  const at = (sequence: number) => ({ epoch: "e1", sequence });
  return { inbox, clock, feeds, at };
}

describe("an inbox feed", () => {
  it("[S2] gives a device what came while it was away, in order, then what comes live", async () => {
    const { inbox, feeds, at } = setUp(9);
    const device = new Device(7);
    feeds.follow("alice", at(7), device);
    await inbox.settle();
    expect(device.got).toEqual([10, 13, 16, 19, 22, 25, 28, 31]);
    expect(device.caughtUpAt).toEqual([31]);
    inbox.store();
    await inbox.settle();
    expect(device.got.at(-1)).toBe(34);
    expect(device.caughtUpAt).toEqual([31]);
  });

  it("[S2] asks for no page where the device has everything", async () => {
    const { inbox, feeds, at } = setUp(2);
    const device = new Device(10);
    feeds.follow("alice", at(10), device);
    await inbox.settle();
    expect(device.caughtUpAt).toEqual([10]);
    expect(inbox.readsUnderWayMax).toBe(0);
  });

  it("[S2] reads again what was stored during the catch-up before it goes live", async () => {
    const { inbox, feeds, at } = setUp(2);
    const device = new Device(7);
    feeds.follow("alice", at(7), device);
    inbox.answer(); // the subscription
    await turn();
    inbox.answer(); // the last sequence
    await turn();
    inbox.answer(); // the page
    inbox.store();
    inbox.release("once");
    await inbox.settle();
    expect(device.got).toEqual([10, 13]);
    expect(device.caughtUpAt).toEqual([13]);
  });

  it("[S2] drops live copies that come twice or late", async () => {
    const { inbox, feeds, at } = setUp(1);
    const device = new Device(7);
    feeds.follow("alice", at(7), device);
    await inbox.settle();
    for (let i = 0; i < 3; i++) inbox.store();
    inbox.release("twice");
    await inbox.settle();
    expect(device.got).toEqual([10, 13, 16]);
  });

  it("[S2] repairs a gap from the stream before delivery goes on", async () => {
    const { inbox, feeds, at } = setUp(1);
    const device = new Device(7);
    feeds.follow("alice", at(7), device);
    await inbox.settle();
    for (let i = 0; i < 2; i++) inbox.store();
    inbox.release("never");
    await inbox.settle();
    expect(device.got).toEqual([10, 13]);
    expect(device.caughtUpAt).toEqual([7]);
  });

  it("[S2] finds a lost last entry by comparing tails", async () => {
    const { inbox, clock, feeds, at } = setUp(1);
    const device = new Device(7);
    feeds.follow("alice", at(7), device);
    await inbox.settle();
    clock.advance(60_000);
    await inbox.settle();
    inbox.store();
    inbox.release("never");
    clock.advance(30_000);
    await inbox.settle();
    expect(device.got).toEqual([10]);
  });

  it("[S2] finds what was lost while the bus was away as soon as it is back", async () => {
    const { inbox, clock, feeds } = setUp();
    const devices = Array.from({ length: 50 }, (_, i) => {
      const device = new Device();
      feeds.follow(`user-${i}`, { epoch: "", sequence: 0 }, device);
      return device;
    });
    await inbox.settle();
    clock.advance(60_000);
    await inbox.settle();
    inbox.store();
    inbox.release("never");
    inbox.interrupt();
    for (let seconds = 0; seconds < 2; seconds++) {
      clock.advance(1_000);
      await inbox.settle();
    }
    const last = devices[0]!.position;
    expect(devices.map(({ got }) => got.at(-1))).toEqual(devices.map(() => last));
  });

  it("[S2] turns to the leader where another read lags, and tries again where reads fail", async () => {
    const { inbox, clock, feeds, at } = setUp(5);
    inbox.lag = 3;
    const device = new Device(7);
    feeds.follow("alice", at(7), device);
    for (let i = 0; i < 5; i++) {
      inbox.answer(0, true);
      await turn();
      clock.advance(8_000);
      await turn();
    }
    await inbox.settle();
    expect(device.got).toEqual([10, 13, 16, 19]);
  });

  it("[S4] resets a device whose own entry was trimmed, and goes on from the end", async () => {
    const { inbox, feeds, at } = setUp(5);
    inbox.trim(3);
    const device = new Device(10);
    feeds.follow("alice", at(10), device);
    await inbox.settle();
    expect(device.resets).toEqual([["TRIMMED", 19]]);
    expect(device.got).toEqual([]);
    inbox.store();
    await inbox.settle();
    expect(device.got).toEqual([22]);
  });

  it("[S4] resets a device whose entry and all after it were trimmed", async () => {
    const { inbox, feeds, at } = setUp(3);
    inbox.trim(0);
    const device = new Device(13);
    feeds.follow("alice", at(13), device);
    await inbox.settle();
    expect(device.resets).toEqual([["TRIMMED", 16]]);
    expect(device.caughtUpAt).toEqual([16]);
  });

  it("[S4] resets a device of another epoch to the end", async () => {
    const { inbox, feeds } = setUp(3);
    const device = new Device(7);
    feeds.follow("alice", { epoch: "e0", sequence: 7 }, device);
    await inbox.settle();
    expect(device.resets).toEqual([["UNKNOWN_EPOCH", 13]]);
  });

  it("[S2] gives a new device the end as its position, and an empty inbox an entry to be it", async () => {
    const { inbox, feeds, at } = setUp(0);
    const device = new Device();
    feeds.follow("alice", at(0), device);
    await inbox.settle();
    expect(device.resets).toEqual([["NEW_DEVICE", 7]]);
    feeds.close();
    inbox.store();
    const again = new Device(7);
    feeds.follow("alice", at(7), again);
    await inbox.settle();
    expect(again.got).toEqual([10]);
    expect(again.resets).toEqual([]);
  });

  it("[R1] keeps nothing for a follower that takes no more, and reads what it lacks when it does", async () => {
    const { inbox, feeds, at } = setUp(6);
    const device = new Device(7);
    device.takes = 2;
    const following = feeds.follow("alice", at(7), device);
    await inbox.settle();
    inbox.store();
    await inbox.settle();
    expect(device.got).toEqual([10, 13]);
    device.takes = Number.POSITIVE_INFINITY;
    feeds.resume(following);
    await inbox.settle();
    expect(device.got).toEqual([10, 13, 16, 19, 22, 25]);
    expect(device.caughtUpAt).toEqual([25]);
  });

  it("[S1] shares one subscription among the devices of a user until the last has gone", async () => {
    const { inbox, feeds, at } = setUp(1);
    const devices = [new Device(7), new Device(7), new Device(7)];
    const followings = devices.map((device) => feeds.follow("alice", at(7), device));
    await inbox.settle();
    inbox.store();
    inbox.publish(new Uint8Array(1));
    await inbox.settle();
    feeds.stop(followings[1]!);
    inbox.store();
    await inbox.settle();
    expect(devices.map((device) => device.got)).toEqual([[10, 13], [10], [10, 13]]);
    expect(devices.map((device) => device.events)).toEqual([1, 1, 1]);
    expect(inbox.subscriptions).toBe(1);
    feeds.stop(followings[0]!);
    feeds.stop(followings[2]!);
    await turn();
    expect(inbox.subscriptions).toBe(0);
  });

  it("ends a subscription that is confirmed after its follower has gone", async () => {
    const { inbox, feeds, at } = setUp(1);
    feeds.stop(feeds.follow("alice", at(7), new Device(7)));
    await inbox.settle();
    expect(inbox.subscriptions).toBe(0);
  });

  it("[R1] runs a bounded number of catch-ups at once and compares at most 1,024 tails a request", async () => {
    const { inbox, clock, at } = setUp(2);
    const feeds = new InboxFeeds({ streams: inbox.streams, clock, catchUpsMax: 5 });
    for (let i = 0; i < 1_500; i++) feeds.follow(`user-${i}`, at(7), new Device(7));
    while (inbox.waitingCount > 0) {
      expect(inbox.waitingCount).toBeLessThanOrEqual(5);
      while (inbox.waitingCount > 0) inbox.answer();
      await turn();
    }
    expect(inbox.readsUnderWayMax).toBe(5);
    clock.advance(1_000);
    await inbox.settle();
    clock.advance(1_000);
    await inbox.settle();
    expect(inbox.tailRequests).toEqual([50, 1_024, 476]);
  });
});

const action = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("store" as const) }) },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant("answer" as const), index: fc.nat(5) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("fail" as const), index: fc.nat(5) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("release" as const),
      fate: fc.constantFrom("once" as const, "once" as const, "never" as const, "twice" as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("time" as const), ms: fc.nat(9_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lag" as const), entries: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("trim" as const), keep: fc.nat(6) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("pause" as const),
      takes: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("resume" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reconnect" as const) }) },
);

describe("[S2] [S4] whatever the streams do", () => {
  it("a device misses nothing without being told, sees nothing twice, and ends up with the end", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 120, size: "max" }), async (actions) => {
        const { inbox, clock, feeds } = setUp(1);
        const device = new Device();
        let following = feeds.follow("alice", { epoch: "", sequence: 0 }, device);
        for (const step of actions) {
          if (step.kind === "store") inbox.store();
          if (step.kind === "answer") inbox.answer(step.index % (inbox.waitingCount || 1));
          if (step.kind === "fail") inbox.answer(step.index % (inbox.waitingCount || 1), true);
          if (step.kind === "release") inbox.release(step.fate);
          if (step.kind === "time") clock.advance(step.ms);
          if (step.kind === "lag") inbox.lag = step.entries;
          if (step.kind === "trim") inbox.trim(step.keep);
          if (step.kind === "pause") device.takes = step.takes;
          if (step.kind === "resume" || step.kind === "reconnect") {
            device.takes = Number.POSITIVE_INFINITY;
            feeds.resume(following);
          }
          if (step.kind === "reconnect") {
            feeds.stop(following);
            following = feeds.follow("alice", { epoch: "e1", sequence: device.position }, device);
          }
          await turn();
        }
        device.takes = Number.POSITIVE_INFINITY;
        inbox.lag = 0;
        for (let i = 0; i < 8; i++) {
          await inbox.settle();
          feeds.resume(following);
          clock.advance(31_000);
        }
        await inbox.settle();

        expect(device.position).toBe(inbox.history.at(-1)?.sequence);
        for (const [prev, next] of device.steps) {
          expect(inbox.history.filter((e) => e.sequence > prev && e.sequence < next)).toEqual([]);
        }
      }),
      { numRuns: 300 },
    );
  });
});
