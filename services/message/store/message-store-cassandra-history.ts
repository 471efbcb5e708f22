/** The messages of channels, in partitions of Cassandra: see message-store-cassandra-buckets.ts. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Channel, Message, Revision } from "../../../gen/parley/message/v1/message_pb.js";
import type { Cassandra } from "../../../mesh/cassandra.ts";
import type { Write } from "../../../mesh/cassandra-batches.ts";
import { firstMessageIdAt, maxId, messageIdMax, minId } from "../../../mesh/ids.ts";
import { RecentMap } from "../../../mesh/recent-map.ts";
import { bodySequence, newestReactions } from "./message-revisions.ts";
import type { MessageRange, StoredMessage } from "./message-store.ts";
import {
  type BucketWidth,
  bucketOf,
  firstIdOf,
  hotRows,
  narrow,
  wide,
} from "./message-store-cassandra-buckets.ts";
import {
  messageColumns,
  messageWrite,
  revisionWrites,
  storedMessageOf,
} from "./message-store-cassandra-message.ts";
import { sendWrite } from "./message-store-cassandra-sends.ts";
import { withinIds } from "./message-store-limits.ts";

/** Buckets whose rows of `buckets_by_channel` are known to be there: 20 MB. */
const knownMax = 100_000;
/** Buckets that are looked up at a time. */
const bucketsMax = 16;
/** Buckets that are read at one time, where those before held less than was asked for. */
const readAheadMax = 16;
/**
 * Messages that are read at one time: a page as most ask for it, and 20 MB of the longest texts.
 * An answer of 50 MB took a busy node longer than the 2 s that it has.
 */
const rowsMax = 50;

/** Buckets that are looked for at one time, where nothing says which there are. */
const probedMax = 32;
/** Rows to find a message among: the first ones may be revisions alone. */
const rowsProbed = 16;
/** An id's time and the time of acceptance differ: the generator may lead its clock by 5 s. */
const idTimeSlackMs = 10_000;

const insertBucket = `INSERT INTO buckets_by_channel (channel_id, bucket, first_sequence)
  VALUES (?, ?, ?) USING TIMESTAMP ?`;
const selectBucket = `SELECT first_sequence FROM buckets_by_channel
  WHERE channel_id = ? AND bucket = ?`;

const selectOne = `SELECT message_id FROM messages
  WHERE channel_id = ? AND bucket = ? AND message_id = ?`;

/** The statements of a direction of reading. */
const selects = (direction: "ASC" | "DESC") => ({
  buckets: `SELECT bucket FROM buckets_by_channel
    WHERE channel_id = ? AND bucket >= ? AND bucket <= ?
    ORDER BY bucket ${direction} LIMIT ?`,
  messages: `SELECT ${messageColumns} FROM messages
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
      const { channelId, channelSequence } = message;
      const bucket = this.bucketFor(message, firsts);
      const key = bucketKey(channelId, bucket);
      const first = firsts.get(key) ?? this.known.get(key);
      if (first === undefined || channelSequence < first) firsts.set(key, channelSequence);
      const partition = `bucket ${key}`;
      writes.push(messageWrite(message, bucket, partition), sendWrite(message, bucket, partition));
    }
    for (const [key, first] of firsts) writes.push(bucketWrite(key, first));
    await this.connection.write(writes);
    for (const [key, first] of firsts) this.known.set(key, first);
  }

  /** Stores what revisions change of their messages, wherever these lie. */
  async revise(revisions: readonly Revision[]): Promise<void> {
    const buckets = await this.bucketsOfTargets(revisions);
    const writes = revisions.flatMap((revision, i) =>
      buckets[i]!.flatMap((bucket) => {
        const partition = `bucket ${bucketKey(revision.channelId, bucket)}`;
        return revisionWrites(revision, bucket, partition);
      }),
    );
    await this.connection.write(writes);
  }

  /** As the port's findMessages: every bucket from the channel's creation to its last message. */
  async findBuckets(channel: Channel): Promise<void> {
    const { channelId, createTime, lastMessageId, lastChannelSequence } = channel;
    const firstId = firstMessageIdAt(createTime ? timestampMs(createTime) - idTimeSlackMs : 0);
    const widths = lastChannelSequence < hotRows ? [wide] : [wide, narrow];
    for (const width of widths) {
      const last = bucketOf(lastMessageId, width);
      for (let from = bucketOf(firstId, width); from <= last; from += probedMax) {
        const length = Math.min(probedMax, last - from + 1);
        const buckets = Array.from({ length }, (_, i) => from + i);
        const rowsOf = await this.connection.readAll(
          buckets.map((bucket) => ({
            cql: upwards.messages,
            values: [channelId, bucket, 0n, messageIdMax, rowsProbed],
          })),
        );
        const writes = rowsOf.flatMap((rows, i) => {
          const first = rows.map(storedMessageOf).find((stored) => stored !== undefined);
          if (!first) return [];
          return bucketWrite(bucketKey(channelId, buckets[i]!), first.message.channelSequence);
        });
        await this.connection.write(writes);
      }
    }
  }

  /** As the port's listMessages. */
  async list(asked: MessageRange): Promise<StoredMessage[]> {
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
  private async listIn(
    width: BucketWidth,
    range: Required<MessageRange>,
  ): Promise<StoredMessage[]> {
    const { channelId, minMessageId, maxMessageId, newestFirst, limit } = range;
    const { buckets: selectBuckets, messages: select } = newestFirst ? downwards : upwards;
    let [min, max] = [minMessageId, maxMessageId];
    const found: StoredMessage[] = [];
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
          const stored = storedMessageOf(row);
          if (stored && found.push(stored) === limit) return found;
          const messageId = row.message_id as bigint;
          if (newestFirst) max = messageId - 1n;
          else min = messageId + 1n;
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

  /**
   * The buckets of the revisions' messages. Writers may have disagreed about those that came when
   * their wide bucket was nearly full: then it is wherever there is one.
   */
  private async bucketsOfTargets(revisions: readonly Revision[]): Promise<number[][]> {
    const places = revisions.map(({ channelId, messageId, messageChannelSequence }) => {
      return { channelId, messageId, channelSequence: messageChannelSequence };
    });
    await this.lookUpFirsts(places);
    const buckets = places.map((place) => [this.bucketFor(place, new Map())]);
    const unsure = [...places.keys()].filter((i) => places[i]!.channelSequence >= hotRows);
    const held = await this.connection.readAll(
      unsure.flatMap((i) => {
        const { channelId, messageId } = places[i]!;
        return [wide, narrow].map((width) => {
          return { cql: selectOne, values: [channelId, bucketOf(messageId, width), messageId] };
        });
      }),
    );
    for (const [n, i] of unsure.entries()) {
      const holding = [wide, narrow].filter((_, w) => held[2 * n + w]!.length > 0);
      const { messageId } = places[i]!;
      if (holding.length > 0) buckets[i] = holding.map((width) => bucketOf(messageId, width));
    }
    return buckets;
  }

  /** The wide bucket that the message lies in, or the narrow one where the wide one is full. */
  private bucketFor(place: MessagePlace, firsts: ReadonlyMap<string, number>): number {
    const { channelId, messageId, channelSequence } = place;
    const bucket = bucketOf(messageId, wide);
    const key = bucketKey(channelId, bucket);
    const first = firsts.get(key) ?? this.known.get(key) ?? channelSequence;
    return channelSequence - first < hotRows ? bucket : bucketOf(messageId, narrow);
  }

  /** Makes known the first sequences of wide buckets that may be full, as far as they are stored. */
  private async lookUpFirsts(places: readonly MessagePlace[]): Promise<void> {
    const keys = new Set<string>();
    for (const { channelId, messageId, channelSequence } of places) {
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

/** What decides in which bucket a message lies. */
type MessagePlace = Pick<Message, "channelId" | "messageId" | "channelSequence">;

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

/** In the order of ids; of two rows of one message what is newer in each. */
function merge(rows: readonly StoredMessage[], newestFirst: boolean): StoredMessage[] {
  const merged = new Map<bigint, StoredMessage>();
  for (const row of rows) {
    const { messageId } = row.message;
    const other = merged.get(messageId);
    merged.set(messageId, other ? newerOf(row, other) : row);
  }
  const order = newestFirst ? -1 : 1;
  return [...merged.values()].sort((a, b) =>
    a.message.messageId < b.message.messageId ? -order : order,
  );
}

function newerOf(a: StoredMessage, b: StoredMessage): StoredMessage {
  const isOlder = bodySequence(a.message) < bodySequence(b.message);
  const reactions = newestReactions([...a.reactions, ...b.reactions]);
  return { message: isOlder ? b.message : a.message, reactions };
}
