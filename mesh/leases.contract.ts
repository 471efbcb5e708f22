/** What every adapter of leases.ts does. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ManualClock } from "./clock-manual.ts";
import { LeaseLost, type Leases } from "./leases.ts";

/** An adapter under test, over an empty store. */
export interface LeasesUnderTest {
  /** What one process holds. */
  leases: Leases;
  /** The same store as another process sees it; the same object where only one can. */
  others: Leases;
  /** The time that both go by. */
  clock: ManualClock;
  close(): Promise<void>;
}

const leaseMs = 30_000;

/** Runs the suite. */
export function leasesContract(adapter: string, open: () => Promise<LeasesUnderTest>): void {
  describe(`Leases: ${adapter}`, () => {
    let test: LeasesUnderTest;
    beforeEach(async () => {
      test = await open();
    });
    afterEach(() => test.close());

    it("[M4] gives every holder a slot of its own", async () => {
      const taken = await Promise.all(
        [test.leases, test.others, test.leases, test.others].map((leases) =>
          leases.acquire("idgen", 4, leaseMs),
        ),
      );
      expect(taken.map(({ slot }) => slot).sort()).toEqual([0, 1, 2, 3]);
    });

    it("[M4] refuses when every slot is held", async () => {
      await test.leases.acquire("idgen", 1, leaseMs);
      await expect(test.others.acquire("idgen", 1, leaseMs)).rejects.toThrow(Error);
    });

    it("keeps the slots of groups apart", async () => {
      await test.leases.acquire("idgen", 1, leaseMs);
      expect(await test.others.acquire("other", 1, leaseMs)).toMatchObject({ slot: 0 });
    });

    it("[M4] a slot that nobody has had carries no mark", async () => {
      expect((await test.leases.acquire("idgen", 1, leaseMs)).highWaterMs).toBe(0);
    });

    it("holds a slot for no longer than was asked, and says until when", async () => {
      const lease = await test.leases.acquire("idgen", 1, leaseMs);
      const atMs = test.clock.nowMs();
      expect(lease.expireTimeMs).toBeGreaterThan(atMs);
      expect(lease.expireTimeMs).toBeLessThanOrEqual(atMs + leaseMs);
    });

    it("[M4] a released slot is free at once, with the mark that its holder left", async () => {
      const lease = await test.leases.acquire("idgen", 1, leaseMs);
      const markMs = test.clock.nowMs() + 5;
      await lease.release(markMs);
      expect((await test.others.acquire("idgen", 1, leaseMs)).highWaterMs).toBe(markMs);
    });

    it("[M4] a slot that was not released is taken until its lease ends", async () => {
      const lease = await test.leases.acquire("idgen", 1, leaseMs);
      const endMs = lease.expireTimeMs;
      test.clock.advance(endMs - test.clock.nowMs() - 1);
      await expect(test.others.acquire("idgen", 1, leaseMs)).rejects.toThrow(Error);
      test.clock.advance(2);
      const next = await test.others.acquire("idgen", 1, leaseMs);
      expect(next.highWaterMs).toBeGreaterThanOrEqual(endMs);
    });

    it("[M4] a renewed slot is held for longer", async () => {
      const lease = await test.leases.acquire("idgen", 1, leaseMs);
      const endMs = lease.expireTimeMs;
      test.clock.advance(leaseMs / 2);
      await lease.renew(leaseMs, test.clock.nowMs());
      expect(lease.expireTimeMs).toBeGreaterThan(endMs);
      test.clock.advance(endMs - test.clock.nowMs() + 1);
      await expect(test.others.acquire("idgen", 1, leaseMs)).rejects.toThrow(Error);
    });

    it("[M4] who has lost its slot is told so, and can't disturb the next holder", async () => {
      const lost = await test.leases.acquire("idgen", 1, leaseMs);
      test.clock.advance(leaseMs + 1);
      const next = await test.others.acquire("idgen", 1, leaseMs);
      await expect(lost.renew(leaseMs, 0)).rejects.toThrow(LeaseLost);
      await lost.release(0);
      await expect(test.leases.acquire("idgen", 1, leaseMs)).rejects.toThrow(Error);
      await next.renew(leaseMs, 0);
    });

    it("[M4] a late renewal is good while nobody else has taken the slot", async () => {
      const lease = await test.leases.acquire("idgen", 1, leaseMs);
      test.clock.advance(leaseMs + 1);
      await lease.renew(leaseMs, test.clock.nowMs());
      await expect(test.others.acquire("idgen", 1, leaseMs)).rejects.toThrow(Error);
    });

    it("[M4] a mark later than the lease outlives it", async () => {
      const lease = await test.leases.acquire("idgen", 1, leaseMs);
      const markMs = test.clock.nowMs() + 10 * leaseMs;
      await lease.renew(leaseMs, markMs);
      test.clock.advance(leaseMs + 1);
      expect((await test.others.acquire("idgen", 1, leaseMs)).highWaterMs).toBe(markMs);
    });

    it("[M4] a mark never falls", async () => {
      const first = await test.leases.acquire("idgen", 1, leaseMs);
      const markMs = test.clock.nowMs() + 1_000;
      await first.renew(leaseMs, markMs);
      await first.renew(leaseMs, markMs - 500);
      await first.release(markMs - 700);
      const second = await test.others.acquire("idgen", 1, leaseMs);
      expect(second.highWaterMs).toBe(markMs);
      await second.release(0);
      expect((await test.leases.acquire("idgen", 1, leaseMs)).highWaterMs).toBe(markMs);
    });

    it("a slot can be released twice, and a released one not renewed", async () => {
      const lease = await test.leases.acquire("idgen", 1, leaseMs);
      await lease.release(1);
      await lease.release(1);
      await expect(lease.renew(leaseMs, 2)).rejects.toThrow(LeaseLost);
    });
  });
}
