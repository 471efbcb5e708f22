/** Where a channel's messages lie, and what it costs to find them. */
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import {
  ChannelSchema,
  type Message,
  Revision_EditSchema,
} from "../../../gen/parley/message/v1/message_pb.js";
import { type Cassandra, type CassandraRow, openCassandra } from "../../../mesh/cassandra.ts";
import { newKeyspace } from "../../../mesh/cassandra-under-test.ts";
import { firstMessageIdAt, snowflakeEpochMs } from "../../../mesh/ids.ts";
import type { MessageRange } from "./message-store.ts";
import { isWide, narrowBucketOf, wideBucketOf } from "./message-store-cassandra-buckets.ts";
import { HistoryPartitions } from "./message-store-cassandra-history.ts";
import { messageSchema } from "./message-store-cassandra-schema.ts";
import { BucketSplits } from "./message-store-cassandra-splits.ts";
import { message, revision } from "./message-store-under-test.ts";

const keyspace = await newKeyspace(inject("servers").cassandraAddress);
let connection: Cassandra;
beforeAll(async () => {
  connection = await openCassandra({ ...keyspace.options, schema: messageSchema });
});
afterAll(async () => {
  await connection.close();
  await keyspace.drop();
});

/** A writer or reader that knows nothing yet, and to which so few messages are many. */
const hotRows = 20;
const start = (over = connection) => new HistoryPartitions(over, new BucketSplits(over, hotRows));

/** The connection, with another way to make its reads, of which transactions are some. */
function readingBy(read: (cql: string, make: () => Promise<CassandraRow[]>) => unknown) {
  return Object.assign(Object.create(connection) as Cassandra, {
    read: (query: Parameters<Cassandra["read"]>[0]) =>
      read(query.cql, () => connection.read(query)),
  });
}

let channels = 0;
/** The messages of a new channel, by hour, as many as are named. */
function messagesIn(...counts: readonly (readonly [hour: number, count: number])[]): Message[] {
  const channelId = `h-${channels++}`;
  const hours = counts.flatMap(([hour, count]) => new Array<number>(count).fill(hour));
  return hours.map((hour, i) => {
    const hourId = firstMessageIdAt(snowflakeEpochMs + hour * 3_600_000);
    return message(hourId + BigInt(i + 1), { channelId, channelSequence: i + 1 });
  });
}
/** The number that {@link messagesIn} gave to the message of an id. */
const sequenceOf = (messageId: bigint) => Number(messageId & (2n ** 22n - 1n));
const sequences = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** The sequences of messages in wide buckets and in narrow ones, wherever they lie. */
async function placesOf(messages: readonly Message[]) {
  const { channelId } = messages[0]!;
  const ids = messages.map(({ messageId }) => messageId);
  const buckets = new Set(ids.flatMap((id) => [wideBucketOf(id), narrowBucketOf(id)]));
  const places: { wide: number[]; narrow: number[] } = { wide: [], narrow: [] };
  for (const bucket of [...buckets].sort((a, b) => a - b)) {
    const cql = "SELECT message_id FROM $.messages WHERE channel_id = ? AND bucket = ?";
    const rows = await keyspace.run(cql, [channelId, bucket]);
    const found = rows.map((row) => sequenceOf(row.message_id as bigint)).reverse();
    places[isWide(bucket) ? "wide" : "narrow"].push(...found);
  }
  return places;
}

async function list(
  by: HistoryPartitions,
  { channelId }: Message,
  rest: Partial<MessageRange> = {},
) {
  const range = { channelId, newestFirst: false, limit: 1_000, ...rest };
  return (await by.list(range)).map((stored) => stored.message);
}

function editOf({ channelId, messageId, channelSequence }: Message, text: string) {
  const change = { case: "edit" as const, value: create(Revision_EditSchema, { text }) };
  const rest = { channelId, messageChannelSequence: channelSequence };
  return revision(messageId, 10_000 + channelSequence, change, rest);
}

it("numbers of buckets ascend with their ids: a wide one, its narrow ones, the next wide one", () => {
  const id = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
  fc.assert(
    fc.property(id, id, (a, b) => {
      const [low, high] = a < b ? [a, b] : [b, a];
      const [wide, narrow] = [wideBucketOf(low), narrowBucketOf(low)];
      expect([isWide(wide), isWide(narrow)]).toEqual([true, false]);
      expect(wide).toBeLessThan(narrow);
      expect(narrow).toBeLessThanOrEqual(narrowBucketOf(high));
      expect(wideBucketOf(high) === wide || narrow < wideBucketOf(high)).toBe(true);
    }),
  );
  expect(narrowBucketOf(2n ** 63n - 1n)).toBeLessThan(2 ** 31);
});

describe("[H3] pages", () => {
  it("of a channel that became hot and cool again are those of one history", async () => {
    // Ten days that become hot, ten that are from their middle on, none, and a quiet day.
    const hours = [0, 100, 240, 300, 301, 302, 479, 480, 481, 600, 601, 1_000];
    const messages = messagesIn(...hours.map((hour, i) => [hour, i < 2 ? 5 : 12] as const));
    await start().write(messages, []);
    const places = await placesOf(messages);
    // Below 20 nobody asks; 20 proposes 40. Of the next 70 proposes 90, and 118 for itself 138.
    expect(places.narrow).toEqual([...sequences(40, 70), ...sequences(91, 118)]);
    expect(places.wide).toHaveLength(messages.length - places.narrow.length);

    const id = fc.nat(messages.length - 1).map((i) => messages[i]!.messageId);
    const limit = fc.oneof(fc.integer({ min: 1, max: 200 }), fc.constant(1_000));
    await fc.assert(
      fc.asyncProperty(
        fc.record(
          { minMessageId: id, maxMessageId: id, newestFirst: fc.boolean(), limit },
          { requiredKeys: ["newestFirst", "limit"] },
        ),
        async (range) => {
          const { minMessageId: min = 0n, maxMessageId: max = 2n ** 63n } = range;
          const wanted = messages.filter((each) => each.messageId >= min && each.messageId <= max);
          if (range.newestFirst) wanted.reverse();
          expect(await list(start(), messages[0]!, range)).toEqual(wanted.slice(0, range.limit));
        },
      ),
      { numRuns: 100 },
    );
  });

  it("at any depth of a hot channel cost the statements that those of a short one cost", async () => {
    const hot = messagesIn([0, 30], [5, 40], [6, 40], [240, 30], [250, 40], [251, 40]);
    const short = messagesIn([0, 15]);
    for (const each of [hot, short]) await start().write(each, []);
    const costOf = async (messages: Message[], range: Partial<MessageRange>) => {
      const statements: string[] = [];
      const reader = start(
        readingBy((cql, make) => {
          statements.push(cql);
          return make();
        }),
      );
      expect(await list(reader, messages[0]!, range)).not.toEqual([]);
      expect(statements.filter((cql) => cql.includes("FROM messages"))).toHaveLength(1);
      return statements.sort();
    };
    const ranges: ((messageId: bigint) => Partial<MessageRange>)[] = [
      (maxMessageId) => ({ maxMessageId, newestFirst: true, limit: 5 }),
      (minMessageId) => ({ minMessageId, newestFirst: false, limit: 5 }),
      (id) => ({ minMessageId: id, maxMessageId: id, newestFirst: true }),
      (id) => ({ minMessageId: id, maxMessageId: id, newestFirst: false }),
    ];
    for (const range of ranges) {
      const cost = await costOf(short, range(short[7]!.messageId));
      // But for the hours of the borders, whose messages lie in both.
      for (const at of [7, 90, 150, 200]) {
        expect(await costOf(hot, range(hot[at]!.messageId)), `at ${at}`).toEqual(cost);
      }
    }
  });
});

describe("[M5] writers agree on where messages lie", () => {
  it("that start before and after a wide bucket is full, and whose ideas are old", async () => {
    const messages = messagesIn([0, 30], [7, 60]);
    const [early, late] = [start(), start()];
    await early.write(messages.slice(0, 25), []);
    await late.write(messages.slice(25, 60), []);
    await early.write(messages.slice(20, 80), []);
    await start().write(messages.slice(45), []);
    await late.write(messages, []);
    expect(await placesOf(messages)).toEqual({
      wide: sequences(1, 39),
      narrow: sequences(40, 90),
    });
  });

  it("that are first in it at one time", async () => {
    const messages = messagesIn([0, 90]);
    const slices = [20, 30, 40, 50, 60].map((from) => messages.slice(from, from + 30));
    await Promise.all(slices.map((slice) => start().write(slice, [])));
    const { wide, narrow } = await placesOf(messages);
    expect([...wide, ...narrow]).toEqual(sequences(21, 90));
    expect(await list(start(), messages[0]!)).toEqual(messages.slice(20));
  });

  it.each([false, true])("whose first agreement failed, made: %s", async (isMade) => {
    const messages = messagesIn([0, 90]);
    let failures = 1;
    const failing = start(
      readingBy(async (cql, make) => {
        if (!cql.includes("IF NOT EXISTS") || failures-- === 0) return make();
        if (isMade) await make();
        throw new Error("no answer");
      }),
    );
    await expect(failing.write(messages.slice(25, 50), [])).rejects.toThrow("no answer");
    expect(await placesOf(messages)).toEqual({ wide: [], narrow: [] });
    await start().write(messages.slice(40), []);
    await failing.write(messages.slice(25, 50), []);
    const first = isMade ? 46 : 61;
    expect(await placesOf(messages)).toEqual({
      wide: sequences(26, first - 1),
      narrow: sequences(first, 90),
    });
  });

  it("and revisions find them on each side of the border, before and after them", async () => {
    const messages = messagesIn([0, 60]);
    const around = [0, 18, 19, 20, 38, 39, 40, 59].map((i) => messages[i]!);
    await start().write(messages.slice(0, 30), []);
    await start().revise(around.slice(4).map((each) => editOf(each, "before")));
    await start().write(messages, []);
    await start().revise(around.slice(0, 4).map((each) => editOf(each, "after")));
    expect((await placesOf(messages)).narrow).toEqual(sequences(40, 60));
    const edited = (await list(start(), messages[0]!)).filter((each) => each.editSequence > 0);
    expect(edited.map(({ channelSequence, body }) => [channelSequence, body.value])).toEqual(
      around.map(({ channelSequence }, i) => [channelSequence, i < 4 ? "after" : "before"]),
    );
  });

  it("whatever each of them has seen, and whatever fails", async () => {
    const step = fc.record({
      writer: fc.nat(2),
      isNew: fc.boolean(),
      from: fc.nat(99),
      length: fc.integer({ min: 1, max: 60 }),
      fails: fc.boolean(),
      revised: fc.nat(99),
    });
    const hours = fc.array(fc.tuple(fc.nat(700), fc.integer({ min: 1, max: 40 })), {
      minLength: 3,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { maxLength: 3 }), { maxLength: 6 }),
        hours,
        async (rounds, counts) => {
          const messages = messagesIn(...counts.sort(([a], [b]) => a - b));
          const edited = new Set<bigint>();
          const failing = readingBy(async (cql, make) => {
            const rows = await make();
            if (cql.includes("IF NOT EXISTS")) throw new Error("no answer");
            return rows;
          });
          const writers = [start(), start(), start()];
          for (const steps of rounds) {
            await Promise.all(
              steps.map(async ({ writer, isNew, from, length, fails, revised }) => {
                if (isNew) writers[writer] = start(fails ? failing : connection);
                const target = messages[revised % messages.length]!;
                const at = from % messages.length;
                await writers[writer]!.write(messages.slice(at, at + length), []).catch(() => {});
                await start().revise([editOf(target, "edited")]);
                edited.add(target.messageId);
              }),
            );
          }
          await start().write(messages, []);
          const { wide, narrow } = await placesOf(messages);
          expect([...wide, ...narrow].sort((a, b) => a - b)).toEqual(sequences(1, messages.length));
          const read = await list(start(), messages[0]!);
          expect(read.map(({ messageId }) => messageId)).toEqual(
            messages.map(({ messageId }) => messageId),
          );
          expect((await list(start(), messages[0]!, { newestFirst: true })).reverse()).toEqual(
            read,
          );
          const isEdited = ({ messageId }: Message) => edited.has(messageId);
          expect(read.filter(({ editSequence }) => editSequence > 0)).toEqual(
            read.filter(isEdited),
          );
        },
      ),
      { numRuns: 12 },
    );
  });
});

it("[R2] messages are found again where buckets and splits were lost, and stay where they are", async () => {
  const messages = messagesIn([0, 30], [8, 30], [250, 30], [300, 30]);
  // What the splits were proposed for is not the first of the bucket.
  for (const from of [75, 25, 0]) await start().write(messages.slice(from), []);
  const [{ channelId }, last] = [messages[0]!, messages.at(-1)!];
  const places = await placesOf(messages);
  await keyspace.run("TRUNCATE $.buckets_by_channel");
  await keyspace.run("TRUNCATE $.splits");
  expect(await list(start(), last)).toEqual([]);
  const { messageId: lastMessageId, channelSequence: lastChannelSequence } = last;
  await start().find(create(ChannelSchema, { channelId, lastMessageId, lastChannelSequence }));
  expect(await list(start(), last)).toEqual(messages);
  await start().write(messages.toReversed(), []);
  expect(await placesOf(messages)).toEqual(places);
});
