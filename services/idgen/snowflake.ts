/**
 * Makes Snowflake ids. Pure: the time comes with each call, the worker id from {@link assign}.
 *
 * The time and sequence of the next id are one number, `position` = ms since the epoch × 4,096 +
 * sequence: 53 bits, exact in a double until 2094. It only grows, whatever the clock does.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { IdRangeSchema } from "../../gen/parley/idgen/v1/idgen_service_pb.js";
import { DomainError } from "../../mesh/errors.ts";
import { snowflakeEpochMs } from "../../mesh/ids.ts";

/** Worker ids are 0 to 1,023. */
export const workersMax = 1_024;
/** The ids may lead the clock by this; longer would tear their order from that of time. */
export const leadMaxMs = 5_000;
/** A clock that is further behind will not be right in time for anybody who waits. */
const retryAfterMaxMs = 60_000;
/** Ids of one worker in one millisecond. */
const sequencesMax = 4_096;

/** Consecutive ids. */
export type IdRangeInit = MessageInitShape<typeof IdRangeSchema>;

/** Hands out ascending ids of one worker at a time. */
export class SnowflakeGenerator {
  private worker = 0;
  private position = 0;

  /** The time of the latest id, in ms since 1970: what a lease's mark is made of. */
  get usedMs(): number {
    return Math.floor((this.position - 1) / sequencesMax) + snowflakeEpochMs;
  }

  /** Goes on as another worker, after all that it may have used and all that was handed out. */
  assign(worker: number, highWaterMs: number): void {
    this.worker = worker;
    this.position = startOf(Math.max(this.usedMs, highWaterMs) + 1);
  }

  /**
   * The next `count` ids that are greater than `greaterThan`, in ranges of one millisecond each.
   * Costs as much for 65,536 ids as for 17 ranges.
   *
   * @throws DomainError CLOCK_BEHIND where they would lead `nowMs` by more than
   * {@link leadMaxMs}; nothing is used up then.
   */
  reserve(count: number, greaterThan: bigint, nowMs: number): IdRangeInit[] {
    const from = Math.max(this.position, startOf(nowMs), this.firstAfter(greaterThan));
    const leadMs = timeOf(from + count - 1) - nowMs;
    if (leadMs > leadMaxMs) {
      throw new DomainError(
        "CLOCK_BEHIND",
        `the ids would lead the clock by ${Math.ceil(leadMs)} ms, more than ${leadMaxMs}`,
        { retryAfterMs: Math.min(Math.ceil(leadMs - leadMaxMs), retryAfterMaxMs) },
      );
    }
    this.position = from + count;
    const ranges: IdRangeInit[] = [];
    for (let at = from; at < this.position; ) {
      const sequence = at % sequencesMax;
      const inRange = Math.min(sequencesMax - sequence, this.position - at);
      ranges.push({ firstId: this.idAt(at), count: inRange });
      at += inRange;
    }
    return ranges;
  }

  private idAt(position: number): bigint {
    const sequence = position % sequencesMax;
    const timeBits = BigInt((position - sequence) / sequencesMax) << 22n;
    return timeBits | BigInt(this.worker * sequencesMax + sequence);
  }

  /** The position of this worker's first id that is greater. */
  private firstAfter(id: bigint): number {
    const start = Number(id >> 22n) * sequencesMax;
    const low = Number(id & 0x3fffffn);
    const worker = Math.floor(low / sequencesMax);
    if (worker < this.worker) return start;
    if (worker > this.worker) return start + sequencesMax;
    return start + (low % sequencesMax) + 1;
  }
}

/** The first position of a millisecond, given in ms since 1970. */
function startOf(timeMs: number): number {
  return Math.max(0, Math.trunc(timeMs) - snowflakeEpochMs) * sequencesMax;
}

function timeOf(position: number): number {
  return Math.floor(position / sequencesMax) + snowflakeEpochMs;
}
