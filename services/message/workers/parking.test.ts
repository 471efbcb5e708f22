import { describe, expect, it } from "vitest";
import type { LogFields } from "../../../mesh/logger.ts";
import { silentLogger } from "../../../mesh/logger.ts";
import { Metrics } from "../../../mesh/metrics.ts";
import { createDirect, directChannelId, sendText } from "../channel/changes.ts";
import type { Change } from "../channel/channel-change.ts";
import { ChannelWriter } from "../channel/channel-writer.ts";
import { MessageFixture, retentionMs } from "../message-fixture.ts";
import { startMessageWorkers } from "../message-service.ts";
import { fanOutWorker } from "./fan-out.ts";
import { indexWorker } from "./indexing.ts";
import { persistWorker } from "./persist.ts";

/** Two channels with three texts each, every one an entry of its own. */
async function setUp() {
  const fixture = new MessageFixture();
  const channels = ["ben", "cleo"].map((friend) => {
    const channelId = directChannelId("ann", friend);
    return { channelId, friend, writer: new ChannelWriter(channelId, fixture.writing) };
  });
  for (const { channelId, friend, writer } of channels) {
    const submit = (decide: Change["decide"], clientMessageId: string) =>
      new Promise((resolve, reject) => {
        writer.submit({
          senderId: "ann",
          clientMessageId,
          clientTimeMs: fixture.clock.nowMs(),
          replyToMessageId: 0n,
          traceParent: "",
          bytes: 10,
          deadlineMs: fixture.clock.nowMs() + 10_000,
          decide,
          done: (outcome) => (outcome instanceof Error ? reject(outcome) : resolve(outcome)),
        });
      });
    await submit(createDirect(channelId, "ann", friend, fixture.clock.nowMs()), "");
    for (const text of ["1", "2", "3"]) {
      await submit(sendText(channelId, "ann", text, 0n), fixture.clientId());
    }
  }
  const streams = fixture.server.connect();
  /** Damages the entry of this number of the first channel. */
  const damage = async (number: number, data: Uint8Array) => {
    const { entries } = await streams.log.read(channels[0]!.channelId);
    entries[number]!.data = data;
  };
  const errors: LogFields[] = [];
  const metrics = new Metrics();
  const work = async () => {
    const logger = { ...silentLogger, error: (fields: LogFields) => void errors.push(fields) };
    const { store, index, clock } = fixture;
    const workers = startMessageWorkers(
      { streams: fixture.streams, store, index, clock, logger, metrics },
      { logRetentionMs: retentionMs, trimIntervalMs: 60_000 },
    );
    for (let i = 0; i < 30; i++) await fixture.pass(1_000);
    await workers.stop();
  };
  /** The texts that the store has of a channel. */
  const stored = async (channel: number) => {
    const { channelId } = channels[channel]!;
    const range = { channelId, minMessageId: 0n, maxMessageId: 2n ** 62n, limit: 100 };
    const messages = await fixture.store.listMessages({ ...range, newestFirst: false });
    return messages.flatMap(({ message: { body } }) => (body.case === "text" ? body.value : []));
  };
  const inboxEntries = async (userId: string) => (await streams.inbox.read(userId)).entries.length;
  const parked = () => streams.deadLetters.count();
  return { fixture, damage, work, errors, metrics, stored, inboxEntries, parked };
}

/** A field's tag and a length that goes beyond the end. */
const truncated = Uint8Array.of(0x0a, 0x7f, 0x41);
/** A field that no entry has: decodes, and says nothing. */
const foreign = Uint8Array.of(0xa0, 0x3f, 0x01);

describe("an entry that can't be decoded", () => {
  it.each([
    ["truncated", truncated],
    ["of something else", foreign],
    ["empty", new Uint8Array()],
  ])("[R3] (%s) is put aside by each worker, and what follows goes on", async (_kind, data) => {
    const test = await setUp();
    await test.damage(2, data);
    await test.work();
    expect(await test.stored(0)).toEqual(["1", "3"]);
    expect(await test.stored(1)).toEqual(["1", "2", "3"]);
    expect(await test.inboxEntries("ben")).toBeGreaterThan(0);
    expect(await test.inboxEntries("cleo")).toBeGreaterThan(0);
    expect(await test.parked()).toBe(3);
  });

  it("[O1] is told of in an error line and counted, by worker", async () => {
    const test = await setUp();
    await test.damage(2, truncated);
    await test.work();
    const events = test.errors.map(({ event, worker, sequence }) => ({ event, worker, sequence }));
    expect(events.sort((a, b) => `${a.worker}`.localeCompare(`${b.worker}`))).toEqual([
      { event: "entry_parked", worker: fanOutWorker, sequence: 3 },
      { event: "entry_parked", worker: indexWorker, sequence: 3 },
      { event: "entry_parked", worker: persistWorker, sequence: 3 },
    ]);
    const text = await test.metrics.registry.getSingleMetricAsString("parley_dead_letters_total");
    expect(text).toContain('{worker="persist"} 1');
    expect(text).toContain('{worker="fan-out"} 1');
  });

  it("[R3] takes along what rests on it, where it has the snapshot", async () => {
    const test = await setUp();
    await test.damage(0, truncated);
    await test.work();
    expect(await test.stored(0)).toEqual([]);
    expect(await test.stored(1)).toEqual(["1", "2", "3"]);
    expect(await test.parked()).toBe(3 * 4);
  });

  it("[R3] waits where it can't be put aside, and nothing is left out", async () => {
    const test = await setUp();
    await test.damage(2, truncated);
    test.fixture.streamFaults.chances = { unavailable: 1 };
    await test.work();
    expect(await test.parked()).toBe(0);
    test.fixture.streamFaults.chances = {};
    await test.work();
    expect(await test.stored(0)).toEqual(["1", "3"]);
    expect(await test.parked()).toBe(3);
  });
});
