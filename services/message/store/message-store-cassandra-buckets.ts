/**
 * The partitions that a channel's messages lie in. A wide bucket has those of ten days; where it is
 * full (message-store-cassandra-splits.ts) further ones go into narrow buckets of an hour, so that
 * none outgrows what Cassandra reads and compacts well (100 MB). Buckets are numbered in the order
 * of their messages: a wide one, the 240 narrow ones of the same ten days, the next wide one. The
 * numbers are stored: never change them.
 */
import { messageTimeMs, snowflakeEpochMs } from "../../../mesh/ids.ts";

const hourMs = 3_600_000;
const wideHours = 10 * 24;
/** From a wide bucket's number to that of the next. */
const wideStep = wideHours + 1;

/** The wide bucket of an id. */
export function wideBucketOf(messageId: bigint): number {
  return wideBucketBefore(narrowBucketOf(messageId));
}

/** The narrow bucket of an id. */
export function narrowBucketOf(messageId: bigint): number {
  const hour = Math.floor((messageTimeMs(messageId) - snowflakeEpochMs) / hourMs);
  return hour + Math.floor(hour / wideHours) + 1;
}

/** Whether it is a wide bucket's number. */
export function isWide(bucket: number): boolean {
  return bucket % wideStep === 0;
}

/** The wide bucket of the ten days that a bucket lies in, or the one `steps` times ten days before. */
export function wideBucketBefore(bucket: number, steps = 0): number {
  return bucket - (bucket % wideStep) - steps * wideStep;
}
