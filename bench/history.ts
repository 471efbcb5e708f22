/** Pages of and catch-ups with a history of a million messages, in each store, beside a short one. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { startCassandra } from "../deploy/servers/cassandra.ts";
import {
  ChannelKind,
  ChannelSchema,
  MemberRole,
  type Message,
  MessageSchema,
} from "../gen/parley/message/v1/message_pb.js";
import { systemClock } from "../mesh/clock.ts";
import { firstMessageIdAt, snowflakeEpochMs } from "../mesh/ids.ts";
import { silentLogger } from "../mesh/logger.ts";
import type { MessageStore, StoreBatch } from "../services/message/store/message-store.ts";
import { openCassandraMessageStore } from "../services/message/store/message-store-cassandra.ts";
import { openLmdbMessageStore } from "../services/message/store/message-store-lmdb.ts";
import { Latencies } from "./latencies.ts";
import type { Figure, ScenarioOptions, ScenarioResult } from "./scenario.ts";

const pageSize = 50;
/** Messages that who catches up has missed: all of the short history. */
const missed = 1_000;
/** One catch-up to so many pages of each kind. */
const catchUpEvery = 10;
const batchSize = 1_024;
/** 10,000 a day: five times what makes a channel of Cassandra hot. */
const spacingMs = 8_640;
const text = "x".repeat(100);

interface Sizes {
  long: number;
  short: number;
  channels: number;
  pages: number;
}

/** Fills each store and reads pages of it. */
export async function history({ quick }: ScenarioOptions): Promise<ScenarioResult> {
  const sizes = quick
    ? { long: 20_000, short: missed, channels: 2_000, pages: 200 }
    : { long: 1_000_000, short: missed, channels: 100_000, pages: 2_000 };
  const folder = mkdtempSync(join(tmpdir(), "parley-bench-"));
  try {
    const inLmdb = await openLmdbMessageStore({ path: join(folder, "lmdb"), clock: systemClock });
    const figures = await measure("LMDB", inLmdb, sizes);
    const server = await startCassandra({ folder: join(folder, "cassandra"), port: 0 });
    try {
      const inCassandra = await openCassandraMessageStore({
        contactPoints: [server.address],
        localDataCenter: "datacenter1",
        keyspace: "bench",
        replicas: { datacenter1: 1 },
        clock: systemClock,
        logger: silentLogger,
      });
      await untilItAnswers(inCassandra);
      figures.push(...(await measure("Cassandra", inCassandra, sizes)));
    } finally {
      await server.process.stop();
    }
    return { figures, notes: [] };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A store on Cassandra opens before its tables are made where that takes long. */
async function untilItAnswers(store: MessageStore): Promise<void> {
  for (let left = 60; ; left--) {
    try {
      await store.getChannel("none");
      return;
    } catch (error) {
      if (left === 0) throw error;
      await sleep(1_000);
    }
  }
}

async function measure(name: string, store: MessageStore, sizes: Sizes): Promise<Figure[]> {
  const start = performance.now();
  const cpuBefore = process.cpuUsage();
  await fill(store, sizes);
  const seconds = (performance.now() - start) / 1_000;
  const cpu = process.cpuUsage(cpuBefore);
  const messages = sizes.long + sizes.short + sizes.channels;
  const figures: Figure[] = [
    { name: `${name}: written`, value: messages / seconds, unit: "messages/s" },
    {
      name: `${name}: CPU of the writing process`,
      value: (cpu.user + cpu.system) / messages,
      unit: "µs/message",
    },
  ];
  const read = (["long", "short"] as const).map((channelId) => ({
    ...{ channelId, count: sizes[channelId] },
    ...{ newest: new Latencies(), around: new Latencies(), catchUps: new Latencies() },
  }));
  // The first pages warm up what the figures are not about. Taken in turn, so that whatever else
  // the machine does meanwhile it does to all.
  for (let i = -50; i < sizes.pages; i++) {
    for (const { channelId, count, newest, around, catchUps } of read) {
      const newestMs = await timed(() => newestPage(store, channelId));
      const number = Math.floor(random() * count);
      const aroundMs = await timed(() => pageAround(store, channelId, number));
      if (i % catchUpEvery === 0) {
        const catchUpMs = await timed(() => catchUp(store, channelId, count));
        if (i >= 0) catchUps.add(catchUpMs);
      }
      if (i < 0) continue;
      newest.add(newestMs);
      around.add(aroundMs);
    }
  }
  for (const { count, newest, around, catchUps } of read) {
    const of = `of ${count.toLocaleString("en")} messages`;
    figures.push(
      ...newest.figures(`${name}: newest page ${of}`, [50, 99]),
      ...around.figures(`${name}: page around any ${of}`, [50, 99]),
      ...catchUps.figures(`${name}: catch-up with the last ${missed} ${of}`, [50, 99]),
    );
  }
  await store.close();
  return figures;
}

async function fill(store: MessageStore, { long, short, channels }: Sizes): Promise<void> {
  for (const [channelId, count] of Object.entries({ long, short })) {
    for (let from = 0; from < count; from += batchSize) {
      const length = Math.min(batchSize, count - from);
      const messages = Array.from({ length }, (_, i) => message(channelId, from + i));
      await store.apply({ messages, channels: [], memberships: [] });
    }
  }
  for (let from = 0; from < channels; from += batchSize / 2) {
    const length = Math.min(batchSize / 2, channels - from);
    await store.apply(pairs(Array.from({ length }, (_, i) => from + i)));
  }
}

/** DIRECT channels of a message each. */
function pairs(numbers: readonly number[]): StoreBatch {
  return {
    messages: numbers.map((i) => message(`d-${i}`, 0)),
    channels: numbers.map((i) => ({
      channel: create(ChannelSchema, { channelId: `d-${i}`, kind: ChannelKind.DIRECT }),
      ...{ sequence: 1, logSequence: i, maxClientTimeMs: snowflakeEpochMs },
    })),
    memberships: numbers.flatMap((i) =>
      [`a-${i}`, `b-${i}`].map((userId) => ({
        ...{ channelId: `d-${i}`, userId, joinedSequence: 1, leftSequence: 0, sequence: 1 },
        ...{ role: MemberRole.MEMBER, joinTimeMs: snowflakeEpochMs },
      })),
    ),
  };
}

function message(channelId: string, number: number): Message {
  return create(MessageSchema, {
    ...{ channelId, messageId: idOf(number), channelSequence: number + 1 },
    prevMessageId: number === 0 ? 0n : idOf(number - 1),
    senderId: "0123456789abcdef",
    clientMessageId: `01890000-0000-7000-8000-${number.toString(16).padStart(12, "0")}`,
    body: { case: "text", value: text },
  });
}

function idOf(number: number): bigint {
  return firstMessageIdAt(snowflakeEpochMs + number * spacingMs);
}

async function newestPage(store: MessageStore, channelId: string): Promise<void> {
  const page = await store.listMessages({ channelId, newestFirst: true, limit: pageSize });
  if (page.length !== pageSize) throw new Error(`${page.length} messages in the newest page`);
}

async function pageAround(store: MessageStore, channelId: string, number: number): Promise<void> {
  const limit = pageSize / 2;
  const id = idOf(number);
  const [older, newer] = await Promise.all([
    store.listMessages({ channelId, maxMessageId: id - 1n, newestFirst: true, limit }),
    store.listMessages({ channelId, minMessageId: id, newestFirst: false, limit }),
  ]);
  if (newer[0]?.message.messageId !== id || older.length !== Math.min(limit, number)) {
    throw new Error(`a wrong page around message ${number}`);
  }
}

/** Reads on from where a device is, page by page to the end. */
async function catchUp(store: MessageStore, channelId: string, count: number): Promise<void> {
  for (let number = count - missed; number < count; number += pageSize) {
    const range = { channelId, minMessageId: idOf(number), newestFirst: false, limit: pageSize };
    const page = await store.listMessages(range);
    if (page.length !== pageSize) throw new Error(`${page.length} messages after ${number}`);
  }
}

async function timed(action: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await action();
  return performance.now() - start;
}

let state = 1;
/** The same pages in every run: a linear congruential generator (Numerical Recipes). */
function random(): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
}
