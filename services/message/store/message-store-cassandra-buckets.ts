/**
 * Which partition of a channel a message lies in: that of the ten days in which it was sent, a wide
 * bucket. Where one has {@link hotRows} items, further messages go into narrow buckets of an hour,
 * so that none outgrows what Cassandra reads and compacts well (100 MB). Writers may disagree about
 * when it was full, and a message then lies in both: readers look into both, and the newer row
 * counts.
 */
import { firstMessageIdAt, messageTimeMs } from "../../../mesh/ids.ts";

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
 * Items after which a wide bucket takes no more: 12 MB at 250 bytes a row; twice as many where the
 * writer was started meanwhile. So busy a channel has 200 items an hour for a narrow one.
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
