/** What LMDB streams do when the disk refuses, and when there is too much to do. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ABORT } from "lmdb";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "./clock-manual.ts";
import { type LmdbEnvironment, openDatabase, openLmdb } from "./lmdb.ts";
import { GroupCommit } from "./lmdb-group-commit.ts";
import { AppendOutcomeUnknown, entryBytesMax, StreamUnavailable } from "./streams.ts";
import { openLmdbStreams } from "./streams-lmdb.ts";
import { LmdbStream } from "./streams-lmdb-stream.ts";
import { defaultRetention } from "./streams-retention.ts";
import { bytes, text, textsOf } from "./streams-under-test.ts";

let path: string;
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), "parley-streams-"));
});
afterEach(() => rm(path, { recursive: true }));

describe("LMDB streams", () => {
  it("[R1] refuse appends when too much waits already, and store the others", async () => {
    const streams = await openLmdbStreams({ path, clock: new ManualClock() });
    const large = new Uint8Array(entryBytesMax);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 80 }, () => streams.log.append("a", large)),
    );
    const refused = outcomes.filter(({ status }) => status === "rejected");
    expect(refused.length).toBeGreaterThan(0);
    for (const each of refused) {
      expect((each as PromiseRejectedResult).reason).toBeInstanceOf(StreamUnavailable);
    }
    const stored = await streams.log.read("a", { bytesMax: 1 << 30 });
    expect(stored.entries).toHaveLength(outcomes.length - refused.length);
    await streams.close();
  });

  it("[S4] remove from the disk what their limits hide, and what is too old", async () => {
    const clock = new ManualClock();
    const inbox = { entriesPerSubjectMax: 5, ageMaxMs: 1_000 };
    const retention = { ...defaultRetention, inbox };
    const streams = await openLmdbStreams({ path, clock, retention });
    const append = (subjects: string[]) =>
      Promise.all(subjects.map((subject) => streams.inbox.append(subject, bytes("x"))));
    for (let i = 0; i < 10; i++) await append(Array(50).fill("full"));
    await append(Array.from({ length: 600 }, (_, i) => `s${i}`));
    const stored = () => countRecords(path, "inbox");
    await streams.close();
    expect(await stored()).toBeLessThan(600 + 5 + 2 * 64);
    const again = await openLmdbStreams({ path, clock, retention });
    clock.advance(2_000);
    for (let i = 0; i < 5; i++) await again.inbox.append("new", bytes(`${i}`));
    expect(await textsOf(again.inbox, "full")).toEqual([]);
    await again.close();
    expect(await stored()).toBe(5);
  });

  it("trim many entries in small steps, at most 100,000 a call", async () => {
    const clock = new ManualClock();
    const streams = await openLmdbStreams({ path, clock });
    const append = (_: unknown, i: number) => streams.log.append(`s${i % 10}`, bytes(`${i}`));
    await Promise.all(Array.from({ length: 2_500 }, append));
    clock.advance(10);
    await streams.log.append("s0", bytes("new"));
    expect(await streams.log.trim({ olderThanMs: 5, workers: [] })).toBe(2_500);
    expect(await textsOf(streams.log, "s0")).toEqual(["new"]);
    expect(await textsOf(streams.log, "s1")).toEqual([]);
    await streams.close();
    expect(await countRecords(path, "log")).toBe(1);
  });

  it("do not open what another format left", async () => {
    const environment = openLmdb(path);
    await openDatabase(environment, "meta").put(Buffer.from("format"), Buffer.from("2"));
    await environment.close();
    await expect(openLmdbStreams({ path, clock: new ManualClock() })).rejects.toThrow(
      "streams of format 2; this program knows 1",
    );
  });

  it("can be closed twice", async () => {
    const streams = await openLmdbStreams({ path, clock: new ManualClock() });
    await Promise.all([streams.close(), streams.close()]);
  });
});

describe("LMDB streams whose commits fail", () => {
  let environment: LmdbEnvironment;
  let stream: LmdbStream;
  let clock: ManualClock;
  beforeEach(() => {
    clock = new ManualClock();
    environment = openLmdb(path);
    const commits = new GroupCommit(environment, {
      beginGroup: () => stream.beginGroup(),
      groupCommitted: () => stream.endGroup(true),
      groupFailed: () => stream.endGroup(false),
    });
    const meta = openDatabase(environment, "meta");
    stream = new LmdbStream({
      ...{ name: "log", epoch: "e1", environment, meta, commits, clock, bus: undefined },
      retention: defaultRetention.log,
    });
  });
  afterEach(async () => {
    await stream.close();
    await environment.close();
  });

  /** The next transaction is undone, as on a full disk. */
  const failNextCommit = () => {
    const { batch } = environment;
    environment.batch = (action) => {
      environment.batch = batch;
      environment.transactionSync(() => {
        action();
        return ABORT;
      });
      return Promise.reject(new Error("disk full"));
    };
  };

  it("[M6] say that the outcome is unknown, store nothing and go on", async () => {
    const first = await stream.append("a", bytes("1"));
    failNextCommit();
    const lost = [
      stream.append("a", bytes("2"), { expectedLastSequence: first, dedupeId: "d2" }),
      stream.append("b", bytes("3")),
    ];
    for (const each of lost) await expect(each).rejects.toThrow(AppendOutcomeUnknown);
    expect(await textsOf(stream, "a")).toEqual(["1"]);
    expect(await stream.lastSequences(["a", "b"])).toEqual([first, 0]);
    await stream.append("a", bytes("2"), { expectedLastSequence: first, dedupeId: "d2" });
    await stream.append("b", bytes("3"), { expectedLastSequence: 0 });
    expect(await textsOf(stream, "a")).toEqual(["1", "2"]);
    expect(await textsOf(stream, "b")).toEqual(["3"]);
  });

  it("[M6] give workers nothing of what was undone", async () => {
    const given: string[] = [];
    stream.work({ name: "persist", batchMax: 10, onError() {} }, async (entries) => {
      given.push(...entries.map(text));
    });
    await stream.append("a", bytes("1"));
    failNextCommit();
    await expect(stream.append("a", bytes("2"))).rejects.toThrow(AppendOutcomeUnknown);
    await stream.append("a", bytes("3"));
    while (!given.includes("3")) await new Promise((resolve) => setImmediate(resolve));
    expect(given).toEqual(["1", "3"]);
  });

  it("trim again what a failed trim left", async () => {
    await stream.append("a", bytes("1"));
    clock.advance(10);
    const options = { olderThanMs: 5, workers: [] };
    failNextCommit();
    await expect(stream.trim(options)).rejects.toThrow(StreamUnavailable);
    expect(await textsOf(stream, "a")).toEqual(["1"]);
    expect(await stream.trim(options)).toBe(1);
    expect(await textsOf(stream, "a")).toEqual([]);
  });
});

async function countRecords(path: string, stream: string): Promise<number> {
  const environment = openLmdb(path);
  const counts = ["records", "index"].map((part) =>
    openDatabase(environment, `${stream}-${part}`).getKeysCount(),
  );
  await environment.close();
  expect(counts[0]).toBe(counts[1]);
  return counts[0]!;
}
