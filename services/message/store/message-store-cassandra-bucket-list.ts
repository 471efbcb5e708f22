/** Which buckets of a channel have messages, so that empty ones are never read. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Channel } from "../../../gen/parley/message/v1/message_pb.js";
import type { Cassandra } from "../../../mesh/cassandra.ts";
import type { Write } from "../../../mesh/cassandra-batches.ts";
import { firstMessageIdAt } from "../../../mesh/ids.ts";
import type { MessageRange } from "./message-store.ts";
import {
  isWide,
  narrowBucketOf,
  wideBucketBefore,
  wideBucketOf,
} from "./message-store-cassandra-buckets.ts";
import { messageColumns, storedMessageOf } from "./message-store-cassandra-message.ts";
import type { BucketSplits } from "./message-store-cassandra-splits.ts";

/** Buckets that are looked up at a time. */
const bucketsMax = 16;
/** Buckets that are looked into at one time, where nothing says which there are. */
const probedMax = 32;
/** Rows to find a message among: the first ones may be revisions alone. */
const rowsProbed = 16;
/** An id's time and the time of acceptance differ: the generator may lead its clock by 5 s. */
const idTimeSlackMs = 10_000;

const insertBucket = `INSERT INTO buckets_by_channel (channel_id, bucket) VALUES (?, ?)`;
const selectBuckets = (direction: "ASC" | "DESC") => `SELECT bucket FROM buckets_by_channel
  WHERE channel_id = ? AND bucket >= ? AND bucket <= ? ORDER BY bucket ${direction} LIMIT ?`;
const downwards = selectBuckets("DESC");
const upwards = selectBuckets("ASC");
const selectFirst = `SELECT ${messageColumns} FROM messages WHERE channel_id = ? AND bucket = ?
  ORDER BY message_id ASC LIMIT ${rowsProbed}`;

/** The write by which a bucket is found. */
export function bucketWrite(channelId: string, bucket: number): Write {
  const values = [channelId, bucket];
  return { cql: insertBucket, values, partition: `channel ${channelId}` };
}

/** The buckets that may have messages of the range, in its direction, some at a time. */
export async function* bucketsWithin(
  connection: Cassandra,
  { channelId, minMessageId, maxMessageId, newestFirst }: Required<MessageRange>,
): AsyncGenerator<readonly number[]> {
  const lookUp = async (cql: string, first: number, last: number, limit = bucketsMax) => {
    const rows = await connection.read({ cql, values: [channelId, first, last, limit] });
    return rows.map((row) => row.bucket as number);
  };
  const wide = wideBucketOf(minMessageId);
  const first = narrowBucketOf(minMessageId);
  let last = narrowBucketOf(maxMessageId);
  // Where a narrow bucket lies before the range, the wide one, which comes before that, does too.
  if (newestFirst) {
    while (true) {
      const buckets = await lookUp(downwards, wide, last);
      const before = buckets.findIndex((bucket) => bucket < first && !isWide(bucket));
      yield before === -1 ? buckets : buckets.slice(0, before);
      if (before !== -1 || buckets.length < bucketsMax) return;
      last = buckets.at(-1)! - 1;
    }
  }
  const [before, next] = await Promise.all([
    lookUp(downwards, wide, first - 1, 1),
    lookUp(upwards, first, last),
  ]);
  yield [...before.filter(isWide), ...next];
  for (let buckets = next; buckets.length === bucketsMax; yield buckets) {
    buckets = await lookUp(upwards, buckets.at(-1)! + 1, last);
  }
}

/**
 * Finds the buckets anew from the messages, all from the channel's creation to its last message,
 * and where wide ones end.
 */
export async function findBuckets(
  connection: Cassandra,
  splits: BucketSplits,
  { channelId, createTime, lastMessageId, lastChannelSequence }: Channel,
): Promise<void> {
  const firstId = firstMessageIdAt(createTime ? timestampMs(createTime) - idTimeSlackMs : 0);
  const first = wideBucketOf(firstId);
  const length = narrowBucketOf(lastMessageId) - first + 1;
  const mayBeNarrow = splits.mayBeNarrow(lastChannelSequence);
  const possible = Array.from({ length }, (_, i) => first + i).filter(
    (bucket) => mayBeNarrow || isWide(bucket),
  );
  let splitBucket = -1;
  for (let from = 0; from < possible.length; from += probedMax) {
    const probed = possible.slice(from, from + probedMax);
    const rowsOf = await connection.readAll(
      probed.map((bucket) => ({ cql: selectFirst, values: [channelId, bucket] })),
    );
    const writes: Write[] = [];
    for (const [i, rows] of rowsOf.entries()) {
      const stored = rows.map(storedMessageOf).find((each) => each !== undefined);
      if (!stored) continue;
      const bucket = probed[i]!;
      writes.push(bucketWrite(channelId, bucket));
      const wide = wideBucketBefore(bucket);
      if (isWide(bucket) || wide === splitBucket) continue;
      // The first of its ten days that is narrow: where the split was lost, that is one as good.
      splitBucket = wide;
      await splits.agree(channelId, wide, stored.message.channelSequence);
    }
    await connection.write(writes);
  }
}
