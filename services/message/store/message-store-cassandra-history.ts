/** The messages of channels, in partitions of Cassandra: see message-store-cassandra-buckets.ts. */
import type { Channel, Message, Revision } from "../../../gen/parley/message/v1/message_pb.js";
import type { Cassandra } from "../../../mesh/cassandra.ts";
import type { Write } from "../../../mesh/cassandra-batches.ts";
import { RecentMap } from "../../../mesh/recent-map.ts";
import type { MessageRange, StoredMessage } from "./message-store.ts";
import { bucketsWithin, bucketWrite, findBuckets } from "./message-store-cassandra-bucket-list.ts";
import {
  messageColumns,
  messageWrite,
  revisionWrites,
  storedMessageOf,
} from "./message-store-cassandra-message.ts";
import { sendWrite } from "./message-store-cassandra-sends.ts";
import { BucketSplits } from "./message-store-cassandra-splits.ts";
import { withinIds } from "./message-store-limits.ts";

/** Buckets that are known to be listed: 20 MB. */
const listedMax = 100_000;
/** Buckets that are read at one time, where those before held less than was asked for. */
const readAheadMax = 16;
/**
 * Messages that are read at one time: a page as most ask for it, and 20 MB of the longest texts.
 * An answer of 50 MB took a busy node longer than the 2 s that it has.
 */
const rowsMax = 50;

const selectMessages = (direction: "ASC" | "DESC") => `SELECT ${messageColumns} FROM messages
  WHERE channel_id = ? AND bucket = ? AND message_id >= ? AND message_id <= ?
  ORDER BY message_id ${direction} LIMIT ?`;
const downwards = selectMessages("DESC");
const upwards = selectMessages("ASC");

/** Where messages are written and found. */
export class HistoryPartitions {
  private readonly connection: Cassandra;
  private readonly splits: BucketSplits;
  /** Buckets whose row is stored, as far as this process has seen. */
  private readonly listed = new RecentMap<string, true>(listedMax);

  constructor(connection: Cassandra, splits = new BucketSplits(connection)) {
    this.connection = connection;
    this.splits = splits;
  }

  /** Stores messages and by which client ids they are found; and others' writes with them. */
  async write(messages: readonly Message[], others: readonly Write[]): Promise<void> {
    const buckets = await this.splits.bucketsOf(messages);
    const writes: Write[] = [...others];
    const unlisted = new Set<string>();
    for (const [i, message] of messages.entries()) {
      const bucket = buckets[i]!;
      const key = bucketKey(message.channelId, bucket);
      writes.push(messageWrite(message, bucket, key), sendWrite(message, bucket, key));
      if (this.listed.get(key) || unlisted.has(key)) continue;
      writes.push(bucketWrite(message.channelId, bucket));
      unlisted.add(key);
    }
    await this.connection.write(writes);
    for (const key of unlisted) this.listed.set(key, true);
  }

  /** Stores what revisions change of their messages. */
  async revise(revisions: readonly Revision[]): Promise<void> {
    const places = revisions.map(({ channelId, messageId, messageChannelSequence }) => {
      return { channelId, messageId, channelSequence: messageChannelSequence };
    });
    const buckets = await this.splits.bucketsOf(places);
    const writes = revisions.flatMap((revision, i) => {
      const bucket = buckets[i]!;
      return revisionWrites(revision, bucket, bucketKey(revision.channelId, bucket));
    });
    await this.connection.write(writes);
  }

  /** As the port's findMessages. */
  find(channel: Channel): Promise<void> {
    return findBuckets(this.connection, this.splits, channel);
  }

  /** As the port's listMessages. */
  async list(asked: MessageRange): Promise<StoredMessage[]> {
    const range = withinIds(asked);
    const { channelId, newestFirst, limit } = range;
    const cql = newestFirst ? downwards : upwards;
    let [min, max] = [range.minMessageId, range.maxMessageId];
    if (max < min) return [];
    const found: StoredMessage[] = [];
    let readAhead = 1;
    for await (const buckets of bucketsWithin(this.connection, range)) {
      for (let at = 0; at < buckets.length; ) {
        const read = buckets.slice(at, at + readAhead);
        const rowsEach = Math.min(limit - found.length, Math.ceil(rowsMax / readAhead));
        const rowsOf = await this.connection.readAll(
          read.map((bucket) => ({ cql, values: [channelId, bucket, min, max, rowsEach] })),
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
          at++;
        }
      }
    }
    return found;
  }
}

/** Names the partition of a bucket. */
function bucketKey(channelId: string, bucket: number): string {
  return `bucket ${bucket} ${channelId}`;
}
