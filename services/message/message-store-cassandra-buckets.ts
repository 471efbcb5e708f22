/**
 * Which partition of a channel a message lies in. Usually it is the ten days in which the message
 * was sent. From {@link hotRows} items in such a time on, further ones go into partitions of an
 * hour each, so that none grows past what Cassandra reads and compacts well (100 MB). A message
 * may lie in both, where writers disagreed about when that was: readers look into both, and the
 * newer row counts.
 */
import { firstMessageIdAt, messageTimeMs } from "../../mesh/ids.ts";

/** How long a partition is. Stored within the numbers of buckets: never give one another length. */
export interface BucketWidth {
  /** What its buckets' numbers begin at; below the next width's. */
  firstBucket: number;
  lengthMs: number;
}

/** What a channel usually has. */
export const wide: BucketWidth = { firstBucket: 0, lengthMs: 10 * 24 * 3_600_000 };
/** What a hot channel has. */
export const narrow: BucketWidth = { firstBucket: 2 ** 20, lengthMs: 3_600_000 };

/**
 * Items of a channel after which a wide bucket takes no more, or twice as many if the writing
 * process was started meanwhile: 12 MB at 250 bytes a row. From there on an hour holds 200 rows or more while the channel stays as busy.
 */
export const hotRows = 50_000;

const epochMs = messageTimeMs(0n);

/** The bucket of an id. A narrow one is below 2^20 hours after the ids' epoch: the ids end before. */
export function bucketOf(messageId: bigint, { firstBucket, lengthMs }: BucketWidth): number {
  return firstBucket + Math.floor((messageTimeMs(messageId) - epochMs) / lengthMs);
}

/** The smallest id that lies in a bucket. */
export function firstIdOf(bucket: number, { firstBucket, lengthMs }: BucketWidth): bigint {
  return firstMessageIdAt(epochMs + (bucket - firstBucket) * lengthMs);
}
