import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ReserveIdsRequestSchema } from "../../gen/parley/idgen/v1/idgen_service_pb.js";
import type { Clock } from "../../mesh/clock.ts";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { Code, toRpcError } from "../../mesh/errors.ts";
import { messageTimeMs } from "../../mesh/ids.ts";
import { type Lease, LeaseLost, type Leases } from "../../mesh/leases.ts";
import { LocalLeases } from "../../mesh/leases-local.ts";
import type { LogFields } from "../../mesh/logger.ts";
import type { CallContext } from "../../mesh/rpc.ts";
import { createIdGenService, type IdGen } from "./idgen-service.ts";

const config = { leaseMs: 3_600_000 };
const context = {} as CallContext;

/** First and last id of each range. */
async function reserve(idgen: IdGen, count: number, greaterThan = 0n): Promise<bigint[]> {
  const request = create(ReserveIdsRequestSchema, { count, greaterThan });
  const { ranges } = await idgen.handlers.reserveIds(request, context);
  return ranges!.flatMap(({ firstId, count }) => [firstId!, firstId! + BigInt(count! - 1)]);
}

/** Leases whose store can be away, and that can be lost. */
class FaultyLeases implements Leases {
  away = false;
  lost = false;
  renewals = 0;
  lastMarkMs = 0;
  private readonly inner: Leases;

  constructor(inner: Leases) {
    this.inner = inner;
  }

  async acquire(group: string, slots: number, durationMs: number): Promise<Lease> {
    if (this.away) throw new Error("the lease store is away");
    const lease = await this.inner.acquire(group, slots, durationMs);
    const renew = lease.renew.bind(lease);
    lease.renew = async (renewMs, highWaterMs) => {
      this.renewals++;
      this.lastMarkMs = highWaterMs;
      if (this.away) throw new Error("the lease store is away");
      if (this.lost) throw new LeaseLost("lost");
      await renew(renewMs, highWaterMs);
    };
    return lease;
  }
}

/** Grants what is asked for: LocalLeases are short. */
class LongLeases implements Leases {
  private readonly clock: Clock;
  private slot = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  async acquire(_group: string, _slots: number, durationMs: number): Promise<Lease> {
    const { clock } = this;
    const lease: Lease = {
      slot: this.slot++,
      highWaterMs: 0,
      expireTimeMs: clock.nowMs() + durationMs,
      async renew(renewMs) {
        lease.expireTimeMs = clock.nowMs() + renewMs;
      },
      async release() {},
    };
    return lease;
  }
}

/** Lets promises that wait for nothing resolve. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

async function started(overrides: { leases?: Leases; clock?: ManualClock } = {}) {
  const clock = overrides.clock ?? new ManualClock();
  const leases = new FaultyLeases(overrides.leases ?? new LongLeases(clock));
  const lines: LogFields[] = [];
  const add = (fields: LogFields) => void lines.push(fields);
  const log = { debug: add, info: add, warn: add, error: add };
  const idgen = createIdGenService({ leases, clock, config, log });
  await idgen.start();
  return { clock, leases, idgen, lines };
}

const noWorkerId = expect.objectContaining({ reason: "NO_WORKER_ID" });
const clockBehind = expect.objectContaining({ reason: "CLOCK_BEHIND" });

describe("IdGenService", () => {
  it("[M4] reserves ids of the present, exactly as many as asked", async () => {
    const { idgen, clock } = await started();
    const [first, last] = await reserve(idgen, 4_096);
    expect(last! - first!).toBe(4_095n);
    expect(messageTimeMs(first!)).toBe(clock.nowMs());
  });

  it.each([
    [0, 0n, "count: 0, must be 1 to 65536"],
    [65_537, 0n, "count: 65537, must be 1 to 65536"],
    [1, -1n, "greater_than: -1, must be 0 or more"],
  ])("refuses count %d, greater_than %d", async (count, greaterThan, message) => {
    const { idgen } = await started();
    await expect(reserve(idgen, count, greaterThan)).rejects.toThrow(message);
  });

  it("[M4] its refusals are UNAVAILABLE, so that callers try elsewhere", async () => {
    const { idgen, clock } = await started();
    clock.stepWallClock(10_000);
    await reserve(idgen, 1);
    clock.stepWallClock(-10_000);
    const error = await reserve(idgen, 1).catch((thrown) => toRpcError(thrown, idgen.codes));
    expect(error).toMatchObject({ code: Code.UNAVAILABLE, reason: "CLOCK_BEHIND" });
  });

  it("[M4] a clock that stays behind is logged once in 10 s", async () => {
    const { idgen, clock, lines } = await started();
    clock.stepWallClock(60_000);
    await reserve(idgen, 1);
    clock.stepWallClock(-60_000);
    for (let s = 0; s < 15; s++) {
      await expect(reserve(idgen, 1)).rejects.toThrow(clockBehind);
      clock.advance(1_000);
    }
    expect(lines.filter(({ event }) => event === "clock_behind")).toHaveLength(2);
  });

  it("has no ids before a worker id is leased, and starts when the store is back", async () => {
    const clock = new ManualClock();
    const leases = new FaultyLeases(new LongLeases(clock));
    leases.away = true;
    const idgen = createIdGenService({ leases, clock, config });
    const start = idgen.start();
    await settle();
    await expect(reserve(idgen, 1)).rejects.toThrow(noWorkerId);
    leases.away = false;
    clock.advance(2_000);
    await start;
    expect(await reserve(idgen, 1)).toHaveLength(2);
  });

  it("[M4] goes on without the lease store until shortly before the lease ends", async () => {
    const { idgen, clock, leases } = await started();
    leases.away = true;
    for (let minutes = 0; minutes < 56; minutes++) {
      await reserve(idgen, 1);
      clock.advance(60_000);
      await settle();
    }
    clock.advance(60_000);
    await settle();
    await expect(reserve(idgen, 1)).rejects.toThrow(noWorkerId);
    leases.away = false;
    clock.advance(2_000);
    await settle();
    expect(await reserve(idgen, 1)).toHaveLength(2);
  });

  it("[M4] the lease's end is kept by the monotonic clock: a step back gives no time", async () => {
    const { idgen, clock, leases } = await started();
    leases.away = true;
    clock.advance(3_599_000);
    clock.stepWallClock(-3_599_000);
    await settle();
    await expect(reserve(idgen, 1)).rejects.toThrow(noWorkerId);
  });

  it("[M4] a clock that jumps past the lease's end waits for a new mark", async () => {
    const { idgen, clock } = await started();
    clock.stepWallClock(7_200_000);
    await expect(reserve(idgen, 1)).rejects.toThrow(noWorkerId);
    await settle();
    expect(messageTimeMs((await reserve(idgen, 1))[0]!)).toBe(clock.nowMs());
  });

  it("[M4] requests don't press a lease store that is away", async () => {
    const { idgen, clock, leases } = await started();
    leases.away = true;
    clock.stepWallClock(7_200_000);
    for (let i = 0; i < 50; i++) {
      await expect(reserve(idgen, 1)).rejects.toThrow(noWorkerId);
      await settle();
    }
    expect(leases.renewals).toBe(1);
  });

  it("[M4] a lost worker id is replaced, and ids go on above those before", async () => {
    const { idgen, clock, leases } = await started();
    const [before] = await reserve(idgen, 1);
    leases.lost = true;
    clock.advance(config.leaseMs / 3);
    await settle();
    leases.lost = false;
    clock.advance(0);
    await settle();
    const [after] = await reserve(idgen, 1);
    expect((after! >> 12n) & 1_023n).not.toBe((before! >> 12n) & 1_023n);
    expect(after!).toBeGreaterThan(before!);
  });

  it("[M4] closing gives the worker id back with a mark that the next holder keeps to", async () => {
    const clock = new ManualClock();
    const leases = await LocalLeases.open(clock);
    const idgen = createIdGenService({ leases, clock, config });
    await idgen.start();
    const [before] = await reserve(idgen, 1);
    await idgen.close();
    await expect(reserve(idgen, 1)).rejects.toThrow(noWorkerId);
    const lease = await leases.acquire("idgen", 1, 1_000);
    expect(lease.highWaterMs).toBe(messageTimeMs(before!));
  });

  it("[M4] each renewal leaves the time of the latest id as its mark", async () => {
    const { idgen, clock, leases } = await started();
    clock.stepWallClock(60_000);
    const [latest] = await reserve(idgen, 1);
    clock.stepWallClock(-60_000);
    clock.advance(config.leaseMs / 3);
    expect(leases.lastMarkMs).toBe(messageTimeMs(latest!));
  });

  it("[M4] a restart under a clock that went back makes no smaller ids of its worker", async () => {
    const clock = new ManualClock();
    const all = await LocalLeases.open(clock);
    const leases: Leases = { acquire: (group, _slots, forMs) => all.acquire(group, 1, forMs) };
    const first = createIdGenService({ leases, clock, config });
    await first.start();
    const [before] = await reserve(first, 1);
    await first.close();
    clock.stepWallClock(-2_000);
    const second = createIdGenService({ leases, clock, config });
    await second.start();
    const [after] = await reserve(second, 1);
    expect((after! >> 12n) & 1_023n).toBe((before! >> 12n) & 1_023n);
    expect(after!).toBeGreaterThan(before!);
  });

  it("can be closed while it is still looking for a worker id", async () => {
    const clock = new ManualClock();
    const leases = new FaultyLeases(new LongLeases(clock));
    leases.away = true;
    const idgen = createIdGenService({ leases, clock, config });
    const start = idgen.start();
    await idgen.close();
    await start;
    expect(clock.nextDueMs()).toBeUndefined();
  });

  it("[M4] many workers with wild clocks and crashes never give an id twice, nor a smaller one", async () => {
    const workers = 3;
    const command = fc.oneof(
      { weight: 6, arbitrary: fc.record({ at: fc.nat(workers - 1), count: fc.nat(9_999) }) },
      {
        weight: 2,
        arbitrary: fc.record({
          at: fc.nat(workers - 1),
          stepMs: fc.integer({ min: -9_000, max: 6_000 }),
        }),
      },
      { weight: 1, arbitrary: fc.record({ at: fc.nat(workers - 1), restart: fc.boolean() }) },
      { weight: 3, arbitrary: fc.record({ advanceMs: fc.nat(90_000) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 30, maxLength: 90 }), async (commands) => {
        const leaseClock = new ManualClock();
        // As few slots as can be, so that each is taken again and again.
        const all = await LocalLeases.open(leaseClock);
        const leases: Leases = {
          acquire: (group, _slots, durationMs) => all.acquire(group, workers, durationMs),
        };
        const clocks = Array.from({ length: workers }, () => new ManualClock());
        const start = (at: number) => {
          const idgen = createIdGenService({ leases, clock: clocks[at]!, config });
          void idgen.start();
          return idgen;
        };
        const idgens = clocks.map((_, at) => start(at));
        const lastOfWorker = new Map<bigint, bigint>();
        let greatest = 0n;
        for (const command of commands) {
          await settle();
          if ("advanceMs" in command) {
            for (const clock of [leaseClock, ...clocks]) clock.advance(command.advanceMs);
          } else if ("stepMs" in command) {
            clocks[command.at]!.stepWallClock(command.stepMs);
          } else if ("restart" in command) {
            // Killed: its clock's timers live on, but nobody asks it for ids.
            if (command.restart) await idgens[command.at]!.close();
            else clocks[command.at] = laterClock(clocks[command.at]!);
            idgens[command.at] = start(command.at);
          } else {
            const greaterThan = command.count % 2 ? greatest : 0n;
            try {
              const ends = await reserve(idgens[command.at]!, command.count + 1, greaterThan);
              expect(ends[0]).toBeGreaterThan(greaterThan);
              const worker = (ends[0]! >> 12n) & 1_023n;
              for (let i = 0; i < ends.length; i += 2) {
                expect(ends[i]).toBeGreaterThan(lastOfWorker.get(worker) ?? 0n);
                lastOfWorker.set(worker, ends[i + 1]!);
              }
              if (ends.at(-1)! > greatest) greatest = ends.at(-1)!;
            } catch (error) {
              expect(["CLOCK_BEHIND", "NO_WORKER_ID"]).toContain(
                (error as { reason?: string }).reason,
              );
            }
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});

/** A machine's clock as the next process finds it: the old process' timers never run. */
function laterClock(clock: ManualClock): ManualClock {
  return new ManualClock(clock.nowMs());
}
