/** What is NATS' own: several shards, several processes, settings. */
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { Metrics } from "./metrics.ts";
import { entryBytesMax, StreamFull, type Streams, StreamUnavailable } from "./streams.ts";
import { type NatsStreamsOptions, openNatsStreams } from "./streams-nats.ts";
import { StreamSettingsDiffer } from "./streams-nats-config.ts";
import { dropNatsStreams, natsTestOptions, pass, until } from "./streams-nats-under-test.ts";
import { bytes, text } from "./streams-under-test.ts";

const { natsUrl, natsMonitorUrl } = inject("servers");
let options: NatsStreamsOptions & { prefix: string };
let opened: Streams[] = [];
beforeEach(() => {
  options = { ...natsTestOptions(natsUrl), shards: { log: 4, inbox: 3 } };
});
afterEach(async () => {
  await Promise.all(opened.map((streams) => streams.close()));
  opened = [];
  await dropNatsStreams(natsUrl, options.prefix);
});

async function open(changes: Partial<NatsStreamsOptions> = {}) {
  const streams = await openNatsStreams({ ...options, ...changes });
  opened.push(streams);
  return streams;
}

/** Changes a JetStream stream behind the adapter's back. */
async function update(name: string, changes: object): Promise<void> {
  const connection = await connect({ servers: natsUrl.split(",") });
  const { streams } = await jetstreamManager(connection);
  await streams.update(options.prefix + name, changes);
  await connection.close();
}

const channels = Array.from({ length: 40 }, (_, i) => `channel-${i}`);

describe("NATS streams", () => {
  it("spread subjects over their shards, of which each has its own epoch", async () => {
    const { log, inbox } = await open();
    const sequences = await Promise.all(channels.map((each) => log.append(each, bytes(each))));
    expect(Math.max(...sequences)).toBeLessThan(channels.length);
    expect(new Set(channels.map((each) => log.epoch(each))).size).toBe(4);
    expect(await log.lastSequences([...channels, "none"])).toEqual([...sequences, 0]);
    expect(new Set(channels.map((each) => inbox.epoch(each))).size).toBe(3);
  });

  it("[M6] give a worker the entries of all shards, each shard's in order", async () => {
    const { log } = await open();
    const given: string[] = [];
    log.work({ name: "persist", batchMax: 7, onError() {} }, async (entries) => {
      given.push(...entries.map((entry) => `${entry.subject} ${text(entry)}`));
    });
    for (let i = 0; i < 5; i++)
      await Promise.all(channels.map((c) => log.append(c, bytes(`${i}`))));
    await until(() => given.length === 5 * channels.length);
    for (const channel of channels) {
      const own = given.filter((each) => each.startsWith(`${channel} `));
      expect(own).toEqual([0, 1, 2, 3, 4].map((i) => `${channel} ${i}`));
    }
  });

  it("trim each shard by its own checkpoints", async () => {
    const { log } = await open();
    await Promise.all(channels.map((each) => log.append(each, bytes(each))));
    const done: string[] = [];
    const worker = log.work({ name: "persist", batchMax: 100, onError() {} }, async (entries) => {
      done.push(...entries.map(({ subject }) => subject));
    });
    await until(() => done.length === channels.length);
    await worker.stop();
    await pass(20);
    expect(await log.trim({ olderThanMs: 5, workers: ["persist", "index"] })).toBe(0);
    expect(await log.trim({ olderThanMs: 5, workers: ["persist"] })).toBe(channels.length);
    expect(await log.lastSequences(channels)).toEqual(channels.map(() => 0));
  });

  it("hear inboxes of all shards, what another process stores or publishes too", async () => {
    const [first, second] = await Promise.all([open(), open()]);
    const heard = new Map<string, string[]>();
    for (const user of channels) {
      heard.set(user, []);
      await first.subscribeInbox(user, (message) => heard.get(user)!.push(text(message)));
    }
    await Promise.all(channels.map((user) => second.inbox.append(user, bytes(`stored ${user}`))));
    for (const user of channels) second.publishInbox(user, bytes(`told ${user}`));
    await until(() => [...heard.values()].every((texts) => texts.length === 2));
    for (const [user, texts] of heard) expect(texts).toEqual([`stored ${user}`, `told ${user}`]);
  });

  it("let one of two processes work at a time, the other when it stops", async () => {
    const [first, second] = await Promise.all([open(), open()]);
    const given: string[] = [];
    const work = (streams: Streams, name: string) =>
      streams.log.work({ name: "persist", batchMax: 100, onError() {} }, async (entries) => {
        given.push(...entries.map((entry) => `${name} ${text(entry)}`));
      });
    const worker = work(first, "first");
    await first.log.append("a", bytes("1"));
    await until(() => given.length === 1);
    work(second, "second");
    await first.log.append("a", bytes("2"));
    await until(() => given.length === 2);
    await pass(300);
    await worker.stop();
    await first.log.append("a", bytes("3"));
    await until(() => given.length === 3);
    expect(given).toEqual(["first 1", "first 2", "second 3"]);
  });

  it("[D3] hand shards over to a process that comes later, and work in each all the time", async () => {
    const [first, second] = await Promise.all([open(), open()]);
    const given = new Map<string, string[]>();
    const shards = { first: new Set<string>(), second: new Set<string>() };
    let isShared = false;
    const work = (streams: Streams, name: "first" | "second") =>
      streams.log.work(
        {
          name: "persist",
          batchMax: 100,
          onError() {},
          isOurs: (work) => (isShared && /-[01]-persist$/.test(work)) === (name === "second"),
        },
        async (entries) => {
          for (const entry of entries) {
            given.set(entry.subject, [...(given.get(entry.subject) ?? []), text(entry)]);
            shards[name].add(streams.log.epoch(entry.subject));
          }
        },
      );
    let count = 0;
    const append = async () => {
      await Promise.all(channels.map((each) => first.log.append(each, bytes(`${count}`))));
      count++;
      await until(() => channels.every((each) => given.get(each)?.at(-1) === `${count - 1}`));
    };
    work(first, "first");
    await append();
    expect(shards.first.size).toBe(4);
    work(second, "second");
    await append();
    isShared = true;
    while (shards.second.size < 2) await append();
    // What was done before a hand-over is not done again.
    for (const texts of given.values()) expect(texts).toEqual(texts.map((_, i) => `${i}`));
  });

  it("refuse to be opened with other shards, naming both counts", async () => {
    await open();
    const wrong = open({ shards: { log: 2, inbox: 3 } });
    await expect(wrong).rejects.toThrow(StreamSettingsDiffer);
    await expect(open({ shards: { log: 8, inbox: 3 } })).rejects.toThrow(
      /LOG-0: shards is "4", this process was started for "8"/,
    );
  });

  it("refuse a stream with other settings, naming both values", async () => {
    await open();
    await update("LOG-1", { max_bytes: 1_000_000, discard: "old" });
    await expect(open()).rejects.toThrow(
      /LOG-1: .*discard is "old", this process was started for "new"; max_bytes is 1000000, .*67108864/,
    );
    await update("INBOX-0", { allow_direct: false });
    await update("LOG-1", { max_bytes: 64 << 20, discard: "new" });
    await expect(open()).rejects.toThrow(/INBOX-0: allow_direct is false, .* true/);
  });

  it("refuse what is appended to a full log, and lose nothing of it", async () => {
    const { log } = await open({ shards: { log: 1, inbox: 1 }, logShardBytesMax: 3 << 20 });
    const large = new Uint8Array(entryBytesMax);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 6 }, () => log.append("a", large)),
    );
    const kept = outcomes.filter(({ status }) => status === "fulfilled").length;
    for (const outcome of outcomes.slice(kept)) {
      expect((outcome as PromiseRejectedResult).reason).toBeInstanceOf(StreamFull);
    }
    expect(kept).toBeGreaterThan(0);
    const page = await log.read("a", { bytesMax: 1 << 30 });
    expect(page.entries).toHaveLength(kept);
  });

  it("[M6] [R3] of a log that is nearly full they trim sooner, and no more than makes room", async () => {
    const bytesMax = 4 << 20;
    const { log } = await open({ shards: { log: 1, inbox: 1 }, logShardBytesMax: bytesMax });
    const fill = (count: number) =>
      Promise.all(Array.from({ length: count }, () => log.append("a", new Uint8Array(100_000))));
    const held = async () => (await log.read("a", { bytesMax: 1 << 30 })).entries.length;
    const trim = { workers: ["persist"], olderThanMs: 3_600_000, pressedOlderThanMs: 5 };
    await fill(30);
    let done = 0;
    log.work({ name: "persist", batchMax: 10, onError() {} }, async (entries) => {
      if (done === 35) throw new Error("not yet");
      done += entries.length;
    });
    await until(() => done === 30);
    await pass(20);
    // 72 % of what it may hold.
    expect(await log.trim(trim)).toBe(0);

    await fill(10);
    await pass(20);
    const { olderThanMs, workers } = trim;
    expect(await log.trim({ workers, olderThanMs })).toBe(0);
    // The checkpoint is stored a moment after the work is done.
    let removed = 0;
    await until(async () => {
      removed += await log.trim(trim);
      return (await held()) * 100_000 <= 0.8 * bytesMax;
    });
    expect(await held()).toBe(40 - removed);
    expect((await held()) * 100_000).toBeGreaterThan(0.7 * bytesMax);
    expect(await log.trim(trim)).toBe(0);
  });

  it("[M6] [R3] of a log that is nearly full they wait for the workers named for that alone", async () => {
    const bytesMax = 4 << 20;
    const { log } = await open({ shards: { log: 1, inbox: 1 }, logShardBytesMax: bytesMax });
    const sequences = await Promise.all(
      Array.from({ length: 40 }, () => log.append("a", new Uint8Array(100_000))),
    );
    let done = 0;
    log.work({ name: "persist", batchMax: 10, onError() {} }, async (entries) => {
      done += entries.length;
    });
    await until(async () => done === 40 && (await log.checkpoint("persist", "a")) === 40);
    await pass(20);
    const trim = { workers: ["persist", "index"], olderThanMs: 5 };
    expect(await log.trim(trim)).toBe(0);
    // The checkpoint is stored a moment after the work is done.
    let removed = 0;
    await until(async () => {
      removed = await log.trim({ ...trim, pressedWorkers: ["persist"] });
      return removed > 0;
    });
    // The other one begins with what is left.
    const given: number[] = [];
    log.work({ name: "index", batchMax: 10, onError() {} }, async (entries) => {
      given.push(...entries.map(({ sequence }) => sequence));
    });
    await until(() => given.length === 40 - removed);
    expect(given).toEqual(sequences.slice(removed));
  });

  it("[O1] say what an acknowledgement means", async () => {
    const metrics = new Metrics();
    const streams = await openNatsStreams({ ...options, monitorUrls: [natsMonitorUrl], metrics });
    opened.push(streams);
    expect(streams.ackMeaning).toMatchObject({ replicas: 1, isSynced: expect.any(Boolean) });
    expect(streams.ackMeaning.text).toMatch(/^on 1 server, on disk/);
    const shown = await metrics.registry.metrics();
    expect(shown).toContain("parley_nats_up 1");
    const unknown = await openNatsStreams({ ...options, monitorUrls: ["http://127.0.0.1:1"] });
    opened.push(unknown);
    expect(unknown.ackMeaning.isSynced).toBeUndefined();
  });

  it("can't be opened where nobody answers, and say where that is", async () => {
    const away = open({ urls: ["nats://127.0.0.1:1"], openTimeoutMs: 300 });
    await expect(away).rejects.toThrow(/127\.0\.0\.1:1 within 300 ms/);
    await expect(away).rejects.toBeInstanceOf(StreamUnavailable);
  });
});
