import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { messageTimeMs, snowflakeEpochMs } from "../../mesh/ids.ts";
import { type IdRangeInit, leadMaxMs, SnowflakeGenerator } from "./snowflake.ts";

const nowMs = Date.UTC(2026, 0, 1);

function generator(worker = 7, highWaterMs = 0): SnowflakeGenerator {
  const made = new SnowflakeGenerator();
  made.assign(worker, highWaterMs);
  return made;
}

function idsOf(ranges: IdRangeInit[]): bigint[] {
  return ranges.flatMap(({ firstId, count }) =>
    Array.from({ length: count! }, (_, i) => firstId! + BigInt(i)),
  );
}

/** As a user of the layout would build it. */
function id(timeMs: number, worker: number, sequence: number): bigint {
  return (BigInt(timeMs - snowflakeEpochMs) << 22n) | BigInt((worker << 12) | sequence);
}

describe("SnowflakeGenerator", () => {
  it("[M4] an id is 41 bits of time, 10 of worker and 12 of sequence", () => {
    const ids = idsOf(generator(1_023).reserve(3, 0n, nowMs));
    expect(ids).toEqual([id(nowMs, 1_023, 0), id(nowMs, 1_023, 1), id(nowMs, 1_023, 2)]);
    expect(messageTimeMs(ids[0]!)).toBe(nowMs);
  });

  it("[M4] a reservation may span milliseconds, each range lies in one", () => {
    const made = generator();
    made.reserve(1, 0n, nowMs);
    const ranges = made.reserve(65_536, 0n, nowMs);
    expect(ranges).toHaveLength(17);
    expect(ranges[0]).toEqual({ firstId: id(nowMs, 7, 1), count: 4_095 });
    expect(ranges[16]).toEqual({ firstId: id(nowMs + 16, 7, 0), count: 1 });
    expect(new Set(idsOf(ranges)).size).toBe(65_536);
  });

  it("[M4] a clock that steps backwards never yields a smaller id", () => {
    const made = generator();
    const [before] = idsOf(made.reserve(1, 0n, nowMs));
    const [after] = idsOf(made.reserve(1, 0n, nowMs - 4_000));
    expect(after).toBe(before! + 1n);
  });

  it("[M4] ids lead the clock by 5 s at most, and a refusal uses nothing up", () => {
    const made = generator();
    made.reserve(1, 0n, nowMs);
    expect(() => made.reserve(1, 0n, nowMs - leadMaxMs - 1)).toThrow("by 5001 ms, more than 5000");
    expect(idsOf(made.reserve(1, 0n, nowMs - leadMaxMs))).toEqual([id(nowMs, 7, 1)]);
  });

  it("[M4] says when to come back", () => {
    const made = generator();
    made.reserve(1, 0n, nowMs);
    const refusal = { reason: "CLOCK_BEHIND", details: { retryAfterMs: 300 } };
    expect(() => made.reserve(1, 0n, nowMs - leadMaxMs - 300)).toThrow(
      expect.objectContaining(refusal),
    );
  });

  it("[M4] another worker's id is exceeded by the next possible one", () => {
    const made = generator(7);
    const aheadMs = nowMs + 10;
    expect(idsOf(made.reserve(1, id(aheadMs, 6, 4_095), nowMs))).toEqual([id(aheadMs, 7, 0)]);
    expect(idsOf(made.reserve(1, id(aheadMs, 7, 30), nowMs))).toEqual([id(aheadMs, 7, 31)]);
    expect(idsOf(made.reserve(1, id(aheadMs, 8, 0), nowMs))).toEqual([id(aheadMs + 1, 7, 0)]);
    expect(idsOf(made.reserve(1, id(aheadMs + 1, 7, 4_095), nowMs))).toEqual([
      id(aheadMs + 2, 7, 0),
    ]);
  });

  it("[M4] the greatest of all ids is refused, not overflowed", () => {
    expect(() => generator().reserve(1, 2n ** 63n - 1n, nowMs)).toThrow("more than 5000");
  });

  it("[M4] a clock before the epoch yields no negative id", () => {
    expect(idsOf(generator(0).reserve(1, 0n, snowflakeEpochMs - 1_000))).toEqual([1n]);
  });

  it("[M4] a new worker starts above the mark of the one before it", () => {
    expect(idsOf(generator(7, nowMs + 50).reserve(1, 0n, nowMs))).toEqual([id(nowMs + 51, 7, 0)]);
  });

  it("[M4] a change of worker goes on above everything handed out", () => {
    const made = generator(9);
    const [before] = idsOf(made.reserve(1, 0n, nowMs));
    made.assign(2, 0);
    expect(idsOf(made.reserve(1, 0n, nowMs))[0]).toBeGreaterThan(before!);
  });

  it("[M4] whatever the clock and the callers do, ids ascend and exceed what they must", () => {
    const step = fc.record({
      clockMs: fc.integer({ min: -8_000, max: 8_000 }),
      count: fc.integer({ min: 1, max: 9_000 }),
      aheadMs: fc.option(fc.integer({ min: -10_000, max: 6_000 })),
      otherWorker: fc.integer({ min: 0, max: 1_023 }),
      sequence: fc.integer({ min: 0, max: 4_095 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const made = generator();
        let timeMs = nowMs;
        let last = 0n;
        for (const { clockMs, count, aheadMs, otherWorker, sequence } of steps) {
          timeMs += clockMs;
          const greaterThan = aheadMs === null ? 0n : id(timeMs + aheadMs, otherWorker, sequence);
          let ranges: IdRangeInit[] = [];
          try {
            ranges = made.reserve(count, greaterThan, timeMs);
          } catch (error) {
            expect(error).toMatchObject({ reason: "CLOCK_BEHIND" });
            continue;
          }
          expect(ranges[0]!.firstId).toBeGreaterThan(greaterThan);
          expect(ranges.reduce((sum, range) => sum + range.count!, 0)).toBe(count);
          for (const range of ranges) {
            expect(range.firstId).toBeGreaterThan(last);
            last = range.firstId! + BigInt(range.count! - 1);
            expect(last >> 22n).toBe(range.firstId! >> 22n);
          }
          expect(messageTimeMs(last) - timeMs).toBeLessThanOrEqual(leadMaxMs);
          expect(made.usedMs).toBe(messageTimeMs(last));
        }
      }),
    );
  });
});
