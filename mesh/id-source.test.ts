import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "./clock-manual.ts";
import { DomainError } from "./errors.ts";
import { IdSource, type ReservedIds, takeMax } from "./id-source.ts";
import { firstMessageIdAt } from "./ids.ts";

/** Workers of IdGen that answer in turn, each with a clock that is wrong by its skew. */
class FakeIdGen {
  readonly requests: { count: number; greaterThan: bigint }[] = [];
  /** Refuses the next calls with these. */
  refusals: Error[] = [];
  private readonly clock: ManualClock;
  private readonly skewsMs: readonly number[];
  private readonly latencyMs: number;
  private readonly next: bigint[];

  constructor(clock: ManualClock, { skewsMs = [0], latencyMs = 0 } = {}) {
    this.clock = clock;
    this.skewsMs = skewsMs;
    this.latencyMs = latencyMs;
    this.next = skewsMs.map(() => 0n);
  }

  reserve = async (count: number, greaterThan: bigint): Promise<ReservedIds> => {
    this.requests.push({ count, greaterThan });
    const refusal = this.refusals.shift();
    const answer = refusal ? undefined : this.make(count, greaterThan);
    if (this.latencyMs > 0) {
      await new Promise<void>((resolve) => this.clock.setTimer(this.latencyMs, resolve));
    }
    if (!answer) throw refusal!;
    return answer;
  };

  private make(count: number, greaterThan: bigint): ReservedIds {
    const worker = this.requests.length % this.skewsMs.length;
    const nowMs = this.clock.nowMs() + this.skewsMs[worker]!;
    const candidates = [this.next[worker]!, firstMessageIdAt(nowMs), greaterThan + 1n];
    const from = candidates.reduce((a, b) => (a > b ? a : b));
    if (from > firstMessageIdAt(nowMs + 5_000)) {
      throw new DomainError("CLOCK_BEHIND", "the ids would lead the clock");
    }
    // Worker bits that are the worker's own; a range leaves a gap after it.
    const firstId = (((from >> 22n) + 1n) << 22n) | BigInt(worker << 12);
    const first = { firstId, count: Math.min(count, 4_096) };
    const ranges = [first];
    for (let left = count - first.count, id = firstId; left > 0; left -= 4_096) {
      id += 1n << 22n;
      ranges.push({ firstId: id, count: Math.min(left, 4_096) });
    }
    this.next[worker] = ranges.at(-1)!.firstId + 4_096n;
    return { ranges };
  }
}

function source(options: { skewsMs?: number[]; latencyMs?: number } = {}) {
  const clock = new ManualClock();
  const idgen = new FakeIdGen(clock, options);
  const ids = new IdSource({ reserve: idgen.reserve, clock });
  return { clock, idgen, ids };
}

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
const away = () => new DomainError("UNAVAILABLE", "away");

describe("IdSource", () => {
  it("[M4] waits for the first block, then returns at once", async () => {
    const { ids, idgen } = source();
    const first = await ids.take(2, 0n);
    expect(first[1]).toBe(first[0]! + 1n);
    expect(ids.take(1, 0n)).toEqual([first[1]! + 1n]);
    expect(idgen.requests).toEqual([{ count: 64, greaterThan: 0n }]);
  });

  it("refuses counts that no caller has", () => {
    const { ids } = source();
    expect(() => ids.take(0, 0n)).toThrow("0 ids, must be 1 to 4096");
    expect(() => ids.take(takeMax + 1, 0n)).toThrow(RangeError);
  });

  it("[M4] those who wait share one reservation", async () => {
    const { ids, idgen } = source();
    const taken = await Promise.all(Array.from({ length: 100 }, () => ids.take(30, 0n)));
    expect(idgen.requests).toEqual([{ count: 3_000, greaterThan: 0n }]);
    expect(new Set(taken.flat()).size).toBe(3_000);
  });

  it("[M4] a wish larger than a block is met by several", async () => {
    const { ids, idgen } = source();
    const taken = await Promise.all(Array.from({ length: 40 }, () => ids.take(takeMax, 0n)));
    expect(new Set(taken.flat()).size).toBe(40 * takeMax);
    expect(idgen.requests).toHaveLength(3);
  });

  it("[M4] a block is not used after 1 s", async () => {
    const { ids, idgen, clock } = source();
    await ids.take(1, 0n);
    await settle();
    clock.advance(999);
    idgen.refusals = [away()];
    expect(ids.take(1, 0n)).toHaveLength(1);
    await settle();
    clock.advance(1);
    expect(ids.take(1, 0n)).toBeInstanceOf(Promise);
  });

  it("[M4] steady traffic waits for the first block only", async () => {
    const { ids, clock } = source({ latencyMs: 20 });
    const waits: number[] = [];
    for (let ms = 0; ms < 20_000; ms++) {
      for (let calls = 0; calls < 5; calls++) if (!Array.isArray(ids.take(1, 0n))) waits.push(ms);
      await settle();
      clock.advance(1);
    }
    // Blocks grow until they outlast the latency.
    expect(waits.at(-1)).toBeLessThan(200);
  });

  it("[M4] the blocks grow and shrink with the traffic, between 64 and 65,536 ids", async () => {
    const { ids, idgen, clock } = source();
    for (let i = 0; i < 400; i++) {
      await ids.take(takeMax, 0n);
      await settle();
    }
    expect(idgen.requests.at(-1)!.count).toBe(65_536);
    for (let i = 0; i < 30; i++) {
      clock.advance(600);
      await ids.take(1, 0n);
      await settle();
    }
    expect(idgen.requests.at(-1)!.count).toBe(64);
  });

  it("[M4] ids that are not greater than the caller's last are skipped", async () => {
    const { ids, idgen } = source();
    const [id] = await ids.take(1, 0n);
    expect(ids.take(1, id! + 9n)).toEqual([id! + 10n]);
    expect(ids.take(1, 0n)).toEqual([id! + 11n]);
    expect(idgen.requests).toHaveLength(1);
  });

  it("[M4] a block with none that is greater is replaced by one that has", async () => {
    const { ids, idgen } = source();
    const [id] = await ids.take(1, 0n);
    const aheadId = id! + (1_000n << 22n);
    const [next] = await ids.take(1, aheadId);
    expect(next!).toBeGreaterThan(aheadId);
    expect(idgen.requests.at(-1)).toEqual({ count: 64, greaterThan: aheadId });
  });

  it("[M4] callers who need no greater ids are served while one waits", async () => {
    const { ids, clock } = source({ latencyMs: 20 });
    const warm = ids.take(1, 0n);
    await settle();
    clock.advance(20);
    const [id] = await warm;
    expect(ids.take(1, id! + (1_000n << 22n))).toBeInstanceOf(Promise);
    expect(ids.take(1, 0n)).toEqual([id! + 1n]);
  });

  it("[M4] a refusal reaches those who waited for it, and the next caller asks anew", async () => {
    const { ids, idgen } = source();
    idgen.refusals = [away()];
    await expect(ids.take(1, 0n)).rejects.toThrow("away");
    expect(await ids.take(1, 0n)).toHaveLength(1);
  });

  it("[M4] a refused refill harms nobody, and is not tried again at once", async () => {
    const { ids, idgen, clock } = source();
    await ids.take(1, 0n);
    clock.advance(600);
    idgen.refusals = [away()];
    for (let i = 0; i < 5; i++) {
      expect(ids.take(1, 0n)).toHaveLength(1);
      await settle();
    }
    expect(idgen.requests).toHaveLength(2);
    clock.advance(100);
    expect(ids.take(1, 0n)).toHaveLength(1);
    expect(idgen.requests).toHaveLength(2);
    await settle();
    expect(idgen.requests).toHaveLength(3);
  });

  it("[M4] a channel whose last id is far ahead keeps ids from no other", async () => {
    const { ids, clock } = source();
    const farId = firstMessageIdAt(clock.nowMs() + 60_000);
    const [far, near] = await Promise.allSettled([ids.take(1, farId), ids.take(1, 0n)]);
    expect(far).toMatchObject({ status: "rejected", reason: { reason: "CLOCK_BEHIND" } });
    expect(near).toMatchObject({ status: "fulfilled" });
  });

  it("refuses the 10,001st who waits", async () => {
    const { ids, clock } = source({ latencyMs: 20 });
    const waiting = Array.from({ length: 10_000 }, () => ids.take(1, 0n));
    await expect(ids.take(1, 0n)).rejects.toMatchObject({ reason: "OVERLOADED" });
    await settle();
    clock.advance(20);
    expect(new Set((await Promise.all(waiting)).flat()).size).toBe(10_000);
  });

  it("an answer that is not what was asked for is not used", async () => {
    const clock = new ManualClock();
    const reserve = async () => ({ ranges: [{ firstId: 5n, count: 64 }] });
    const ids = new IdSource({ reserve, clock });
    await expect(ids.take(1, 5n)).rejects.toThrow("asked for 64 ids above 5");
  });

  it("[M4] each channel's ids ascend and none comes twice, whatever the workers' clocks", async () => {
    const take = fc.record({
      channel: fc.nat(4),
      count: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: takeMax })),
    });
    const command = fc.oneof(
      { weight: 6, arbitrary: fc.record({ takes: fc.array(take, { maxLength: 8 }) }) },
      { weight: 4, arbitrary: fc.record({ advanceMs: fc.nat(700) }) },
      { weight: 1, arbitrary: fc.record({ refuse: fc.boolean() }) },
    );
    const skews = fc.array(fc.integer({ min: -6_000, max: 6_000 }), {
      minLength: 1,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(skews, fc.array(command, { maxLength: 60 }), async (skewsMs, commands) => {
        const { ids, idgen, clock } = source({ skewsMs, latencyMs: 3 });
        const seen = new Set<bigint>();
        const channels = Array.from({ length: 5 }, () => ({ last: 0n, busy: false }));
        const run = async (channel: { last: bigint; busy: boolean }, count: number) => {
          if (channel.busy) return;
          channel.busy = true;
          try {
            const taken = await ids.take(count, channel.last);
            expect(taken).toHaveLength(count);
            for (const id of taken) {
              if (id <= channel.last || seen.has(id)) throw new Error(`${id} again or too small`);
              seen.add(id);
              channel.last = id;
            }
          } catch (error) {
            expect(["CLOCK_BEHIND", "UNAVAILABLE"]).toContain((error as DomainError).reason);
          }
          channel.busy = false;
        };
        const running: Promise<void>[] = [];
        for (const command of commands) {
          if ("takes" in command) {
            for (const { channel, count } of command.takes) {
              running.push(run(channels[channel]!, count));
            }
          } else if ("advanceMs" in command) clock.advance(command.advanceMs);
          else idgen.refusals.push(away());
          await settle();
        }
        while (channels.some(({ busy }) => busy)) {
          clock.advance(3);
          await settle();
        }
        await Promise.all(running);
      }),
      { numRuns: 150 },
    );
  });
});
