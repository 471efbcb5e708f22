import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "./clock-manual.ts";
import { Faults, seededRandom } from "./faults.ts";
import { AppendOutcomeUnknown, type Streams, StreamUnavailable } from "./streams.ts";
import { type StreamFault, withFaults } from "./streams-faults.ts";
import { MemoryStreamsServer } from "./streams-memory.ts";
import { ascending, bytes, fill, text, textsOf } from "./streams-under-test.ts";

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("withFaults", () => {
  let clock: ManualClock;
  let server: MemoryStreamsServer;
  let faults: Faults<StreamFault>;
  let streams: Streams;
  beforeEach(() => {
    clock = new ManualClock();
    server = new MemoryStreamsServer({ clock });
    faults = new Faults(seededRandom(1));
    streams = withFaults(server.connect(), { faults, clock, lateTo: server.connect() });
  });

  it("an append of unknown outcome was stored, or never is", async () => {
    faults.next("appendUnknownStored");
    await expect(streams.log.append("a", bytes("1"))).rejects.toThrow(AppendOutcomeUnknown);
    faults.next("appendUnknownLost");
    await expect(streams.log.append("a", bytes("2"))).rejects.toThrow(AppendOutcomeUnknown);
    clock.advance(10_000);
    await settle();
    expect(await textsOf(streams.log, "a")).toEqual(["1"]);
  });

  it("an append of unknown outcome may land later, even when its process is gone", async () => {
    faults.next("appendUnknownLate");
    await expect(streams.log.append("a", bytes("1"))).rejects.toThrow(AppendOutcomeUnknown);
    const { log } = server.connect();
    expect(await textsOf(log, "a")).toEqual([]);
    await streams.close();
    clock.advance(1_000);
    await settle();
    expect(await textsOf(log, "a")).toEqual(["1"]);
  });

  it("a late append keeps its expectation", async () => {
    faults.next("appendUnknownLate");
    const late = streams.log.append("a", bytes("late"), { expectedLastSequence: 0 });
    await expect(late).rejects.toThrow(AppendOutcomeUnknown);
    await streams.log.append("a", bytes("1"), { expectedLastSequence: 0 });
    clock.advance(1_000);
    await settle();
    expect(await textsOf(streams.log, "a")).toEqual(["1"]);
  });

  it("what is unavailable stores nothing", async () => {
    for (const call of [
      () => streams.log.append("a", bytes("1")),
      () => streams.log.read("a"),
      () => streams.log.last("a"),
      () => streams.log.lastSequences(["a"]),
      () => streams.subscribeInbox("a", () => {}),
    ]) {
      faults.next("unavailable");
      await expect(call()).rejects.toThrow(StreamUnavailable);
    }
    expect(await textsOf(streams.log, "a")).toEqual([]);
  });

  it("a stale read lacks the newest entries, one that asks the leader lacks none", async () => {
    await fill(streams.log, "a", 20);
    const whole = await textsOf(streams.log, "a");
    faults.chances = { readStale: 1 };
    const stale = (await streams.log.read("a")).entries.map(text);
    expect(stale.length).toBeLessThan(20);
    expect(stale).toEqual(whole.slice(0, stale.length));
    expect((await streams.log.last("a"))!.sequence).toBeLessThan(20);
    expect((await streams.log.lastSequences(["a"]))[0]).toBeLessThan(20);
    expect(await textsOf(streams.log, "a")).toEqual(whole);
    expect(await streams.log.last("a", { fromLeader: true })).toMatchObject({ sequence: 20 });
  });

  it("live messages are lost, doubled and delayed, and the others keep their order", async () => {
    const heard: string[] = [];
    await streams.subscribeInbox("a", (message) => void heard.push(text(message)));
    const append = async (content: string, fault?: StreamFault) => {
      if (fault) faults.next(fault);
      await streams.inbox.append("a", bytes(content));
      await settle();
    };
    await append("1", "liveLost");
    await append("2", "liveDoubled");
    expect(heard).toEqual(["2"]);
    clock.advance(1_000);
    expect(heard).toEqual(["2", "2"]);
    await append("3", "liveDelayed");
    await append("4");
    expect(heard).toEqual(["2", "2"]);
    clock.advance(1_000);
    expect(heard).toEqual(["2", "2", "3", "4"]);
  });

  it("a worker gets entries again and its batches cut, and no error that isn't its own", async () => {
    await fill(streams.log, "a", 4);
    faults.next("batchCut");
    faults.next("batchAgain");
    faults.next("checkpointLost");
    const given: string[] = [];
    const errors: unknown[] = [];
    const worker = streams.log.work(
      { name: "persist", batchMax: 10, onError: (error) => errors.push(error) },
      async (entries) => void given.push(entries.map(text).join("")),
    );
    await settle();
    expect(given.join("")).toBe("01230123");
    expect(await streams.log.checkpoint("persist", "a")).toBe(0);
    clock.advance(50);
    await settle();
    expect(given.join("")).toBe("012301230123");
    expect(await streams.log.checkpoint("persist", "a")).toBe(4);
    expect(errors).toEqual([]);
    await worker.stop();
  });

  it("two workers of a name may run, until the second one stops", async () => {
    faults.next("workerDoubled");
    await fill(streams.log, "a", 1);
    const given: string[] = [];
    const worker = streams.log.work({ name: "persist", batchMax: 10, onError() {} }, async (e) => {
      given.push(...e.map(text));
    });
    await settle();
    expect(given).toEqual(["0", "0"]);
    clock.advance(1_000);
    await settle();
    await fill(streams.log, "a", 1);
    await settle();
    expect(given).toEqual(["0", "0", "0"]);
    await worker.stop();
  });

  it("[M6] with all faults at once keeps what the port promises", async () => {
    await fc.assert(fc.asyncProperty(fc.integer(), runWithAllFaults), { numRuns: 100 });
  });
});

const allFaults: Record<StreamFault, number> = {
  ...{ unavailable: 0.1, appendUnknownStored: 0.1, appendUnknownLost: 0.1, appendUnknownLate: 0.1 },
  ...{ readStale: 0.5, checkpointStale: 0.5, liveLost: 0.1, liveDoubled: 0.2, liveDelayed: 0.2 },
  ...{ batchCut: 0.2, batchAgain: 0.1, checkpointLost: 0.1, workerDoubled: 0.5 },
};

async function runWithAllFaults(seed: number): Promise<void> {
  const clock = new ManualClock();
  const server = new MemoryStreamsServer({ clock });
  const faults = new Faults(seededRandom(seed), allFaults);
  const streams = withFaults(server.connect(), { faults, clock });
  const truth = server.connect().inbox;
  const acknowledged: string[] = [];
  const refused: string[] = [];
  const heard: number[] = [];
  const worked: number[] = [];
  await streams.subscribeInbox("a", ({ sequence }) => void heard.push(sequence)).catch(() => {});
  const worker = streams.inbox.work({ name: "w", batchMax: 3, onError() {} }, async (entries) => {
    worked.push(...entries.map(({ sequence }) => sequence));
  });
  for (let i = 0; i < 40; i++) {
    try {
      await streams.inbox.append("a", bytes(`${i}`));
      acknowledged.push(`${i}`);
    } catch (error) {
      if (!(error instanceof AppendOutcomeUnknown)) refused.push(`${i}`);
    }
    const whole = await textsOf(truth, "a");
    const { entries } = await streams.inbox.read("a").catch(() => ({ entries: [] }));
    expect(entries.map(text)).toEqual(whole.slice(0, entries.length));
    const leader = await streams.inbox.last("a", { fromLeader: true }).catch(() => undefined);
    if (leader) expect(text(leader)).toBe(whole.at(-1));
    clock.advance(faults.upTo(300));
    await settle();
  }
  faults.chances = {};
  for (let second = 0; second < 60; second++) {
    clock.advance(1_000);
    await settle();
  }
  await worker.stop();
  const stored = await textsOf(truth, "a");
  expect(new Set(stored).size).toBe(stored.length);
  expect(stored).toEqual(expect.arrayContaining(acknowledged));
  expect(stored.filter((each) => refused.includes(each))).toEqual([]);
  const firstHeard = [...new Set(heard)];
  expect(firstHeard).toEqual(ascending(firstHeard));
  const sequences = (await truth.read("a")).entries.map(({ sequence }) => sequence);
  expect(sequences).toEqual(expect.arrayContaining(firstHeard));
  expect([...new Set(worked)]).toEqual(sequences);
}
