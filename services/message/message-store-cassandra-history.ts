/** The messages of channels, in partitions of Cassandra: see message-store-cassandra-buckets.ts. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Message, MessageSchema } from "../../gen/parley/message/v1/message_pb.js";
import type { Cassandra } from "../../mesh/cassandra.ts";
import type { Write } from "../../mesh/cassandra-batches.ts";
import { maxId, minId } from "../../mesh/ids.ts";
import { RecentMap } from "../../mesh/recent-map.ts";
import type { MessageRange } from "./message-store.ts";
import {
  type BucketWidth,
  bucketOf,
  firstIdOf,
  hotRows,
  narrow,
  wide,
} from "./message-store-cassandra-buckets.ts";
import { sendWrite } from "./message-store-cassandra-sends.ts";
import { withinIds } from "./message-store-limits.ts";

/** Buckets whose rows of `buckets_by_channel` are known to be there: 20 MB. */
const knownMax = 100_000;
/** Buckets that are looked up at a time. */
const bucketsMax = 16;
/** Buckets that are read at one time, where those before held less than was asked for. */
const readAheadMax = 16;
/** Messages that are read at one time: 50 MB of the longest texts. */
const rowsMax = 128;

const insertMessage = `INSERT INTO messages (channel_id, bucket, message_id, message)
  VALUES (?, ?, ?, ?) USING TIMESTAMP ?`;
const insertBucket = `INSERT INTO buckets_by_channel (channel_id, bucket, first_sequence)
  VALUES (?, ?, ?) USING TIMESTAMP ?`;
const selectBucket = `SELECT first_sequence FROM buckets_by_channel
  WHERE channel_id = ? AND bucket = ?`;

/** The statements of a direction of reading. */
const selects = (direction: "ASC" | "DESC") => ({
  buckets: `SELECT bucket FROM buckets_by_channel
    WHERE channel_id = ? AND bucket >= ? AND bucket <= ?
    ORDER BY bucket ${direction} LIMIT ?`,
  messages: `SELECT message FROM messages
    WHERE channel_id = ? AND bucket = ? AND message_id >= ? AND message_id <= ?
    ORDER BY message_id ${direction} LIMIT ?`,
});
const downwards = selects("DESC");
const upwards = selects("ASC");

/** Where messages are written and found. */
export class HistoryPartitions {
  private readonly connection: Cassandra;
  /** The first sequence of buckets that are stored, as far as this process has seen. */
  private readonly known = new RecentMap<string, number>(knownMax);

  constructor(connection: Cassandra) {
    this.connection = connection;
  }

  /** Stores messages and by which client ids they are found; and others' writes with them. */
  async write(messages: readonly Message[], others: readonly Write[]): Promise<void> {
    await this.lookUpFirsts(messages);
    const writes: Write[] = [...others];
    /** The first sequence of each bucket that this write tells more of than is known. */
    const firsts = new Map<string, number>();
    for (const message of messages) {
      const { channelId, messageId, channelSequence } = message;
      const bucket = this.bucketFor(message, firsts);
      const key = bucketKey(channelId, bucket);
      const first = firsts.get(key) ?? this.known.get(key);
      if (first === undefined || channelSequence < first) firsts.set(key, channelSequence);
      const bytes = Buffer.from(toBinary(MessageSchema, message));
      const partition = `bucket ${key}`;
      const values = [channelId, bucket, messageId, bytes, BigInt(channelSequence)];
      writes.push({ cql: insertMessage, values, partition }, sendWrite(message, bucket, partition));
    }
    for (const [key, first] of firsts) writes.push(bucketWrite(key, first));
    await this.connection.write(writes);
    for (const [key, first] of firsts) this.known.set(key, first);
  }

  /** As the port's listMessages. */
  async list(asked: MessageRange): Promise<Message[]> {
    const range = withinIds(asked);
    if (range.maxMessageId < range.minMessageId) return [];
    const [older, newer] = await Promise.all([
      this.listIn(wide, range),
      this.listIn(narrow, range),
    ]);
    if (newer.length === 0) return older;
    return merge([...older, ...newer], range.newestFirst).slice(0, range.limit);
  }

  /** The range as far as it lies in buckets of one width. Empty buckets are never read. */
  private async listIn(width: BucketWidth, range: Required<MessageRange>): Promise<Message[]> {
    const { channelId, minMessageId, maxMessageId, newestFirst, limit } = range;
    const { buckets: selectBuckets, messages: select } = newestFirst ? downwards : upwards;
    let [min, max] = [minMessageId, maxMessageId];
    const found: Message[] = [];
    let buckets: number[] = [];
    let isLastLookUp = false;
    let readAhead = 1;
    while (true) {
      if (buckets.length === 0) {
        const [first, last] = [bucketOf(min, width), bucketOf(max, width)];
        if (isLastLookUp || last < first) return found;
        const values = [channelId, first, last, bucketsMax];
        const rows = await this.connection.read({ cql: selectBuckets, values });
        buckets = rows.map((row) => row.bucket as number);
        isLastLookUp = buckets.length < bucketsMax;
      }
      const read = buckets.slice(0, readAhead);
      const rowsEach = Math.min(limit - found.length, Math.ceil(rowsMax / readAhead));
      const rowsOf = await this.connection.readAll(
        read.map((bucket) => ({ cql: select, values: [channelId, bucket, min, max, rowsEach] })),
      );
      readAhead = Math.min(2 * readAhead, readAheadMax);
      for (const rows of rowsOf) {
        for (const row of rows) {
          const message = fromBinary(MessageSchema, row.message as Buffer);
          if (found.push(message) === limit) return found;
          if (newestFirst) max = message.messageId - 1n;
          else min = message.messageId + 1n;
        }
        if (rows.length === rowsEach) {
          // There may be more in it: what lies beyond waits.
          readAhead = 1;
          break;
        }
        const done = buckets.shift()!;
        if (newestFirst) max = minId(max, firstIdOf(done, width) - 1n);
        else min = maxId(min, firstIdOf(done + 1, width));
      }
    }
  }

  /** The wide bucket that the message lies in, or the narrow one where the wide one is full. */
  private bucketFor(message: Message, firsts: ReadonlyMap<string, number>): number {
    const { channelId, messageId, channelSequence } = message;
    const bucket = bucketOf(messageId, wide);
    const key = bucketKey(channelId, bucket);
    const first = firsts.get(key) ?? this.known.get(key) ?? channelSequence;
    return channelSequence - first < hotRows ? bucket : bucketOf(messageId, narrow);
  }

  /** Makes known the first sequences of wide buckets that may be full, as far as they are stored. */
  private async lookUpFirsts(messages: readonly Message[]): Promise<void> {
    const keys = new Set<string>();
    for (const { channelId, messageId, channelSequence } of messages) {
      if (channelSequence < hotRows) continue;
      const key = bucketKey(channelId, bucketOf(messageId, wide));
      if (this.known.get(key) === undefined) keys.add(key);
    }
    const lookedUp = [...keys];
    const queries = lookedUp.map((key) => ({ cql: selectBucket, values: bucketParts(key) }));
    for (const [i, [row]] of (await this.connection.readAll(queries)).entries()) {
      if (row) this.known.set(lookedUp[i]!, Number(row.first_sequence));
    }
  }
}

function bucketKey(channelId: string, bucket: number): string {
  return `${bucket} ${channelId}`;
}

function bucketParts(key: string): [channelId: string, bucket: number] {
  const space = key.indexOf(" ");
  return [key.slice(space + 1), Number(key.slice(0, space))];
}

/** Of two writes of a bucket the least sequence stays: it has the greater timestamp. */
function bucketWrite(key: string, first: number): Write {
  const [channelId, bucket] = bucketParts(key);
  return {
    cql: insertBucket,
    values: [channelId, bucket, BigInt(first), BigInt(2 ** 32 - first)],
    partition: `channel ${channelId}`,
  };
}

/** In the order of ids; of two rows of one message the newer. */
function merge(rows: readonly Message[], newestFirst: boolean): Message[] {
  const newest = new Map<bigint, Message>();
  for (const row of rows) {
    const other = newest.get(row.messageId);
    if (!other || other.channelSequence < row.channelSequence) newest.set(row.messageId, row);
  }
  const order = newestFirst ? -1 : 1;
  return [...newest.values()].sort((a, b) => (a.messageId < b.messageId ? -order : order));
}
