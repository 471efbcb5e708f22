import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ManualClock } from "./clock-manual.ts";
import { leasesContract } from "./leases.contract.ts";
import { LocalLeases } from "./leases-local.ts";

let folder: string;
let files = 0;
const newFile = () => join(folder, `leases-${files++}.json`);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "parley-leases-"));
});
afterAll(() => rm(folder, { recursive: true }));

for (const [name, file] of [
  ["LocalLeases in memory", () => undefined],
  ["LocalLeases in a file", newFile],
] as const) {
  leasesContract(name, async () => {
    const clock = new ManualClock();
    const leases = await LocalLeases.open(clock, file());
    return { leases, others: leases, clock, close: async () => {} };
  });
}

describe("LocalLeases", () => {
  const hours = 4 * 3_600_000;

  it("[M4] a process that was killed gets another slot at once", async () => {
    const clock = new ManualClock();
    const file = newFile();
    const killed = await (await LocalLeases.open(clock, file)).acquire("idgen", 1_024, hours);
    const next = await (await LocalLeases.open(clock, file)).acquire("idgen", 1_024, hours);
    expect(next.slot).not.toBe(killed.slot);
  });

  it("[M4] a loop of kills never runs out of slots, and finds marks that have passed", async () => {
    const clock = new ManualClock();
    const file = newFile();
    for (let kills = 0; kills < 30; kills++) {
      const lease = await (await LocalLeases.open(clock, file)).acquire("idgen", 8, hours);
      expect(lease.highWaterMs).toBeLessThanOrEqual(clock.nowMs());
      clock.advance(8_000);
    }
  });

  it("[M4] a killed holder's slot carries everything that it may have used", async () => {
    const clock = new ManualClock();
    const file = newFile();
    const killed = await (await LocalLeases.open(clock, file)).acquire("idgen", 1, hours);
    await killed.renew(hours, clock.nowMs());
    clock.stepWallClock(-7_000_000);
    const next = await (await LocalLeases.open(clock, file)).acquire("idgen", 1, hours);
    expect(next.highWaterMs).toBe(killed.expireTimeMs);
  });

  it("[M4] a step of the wall clock takes a slot from nobody", async () => {
    const clock = new ManualClock();
    const leases = await LocalLeases.open(clock);
    await leases.acquire("idgen", 1, hours);
    clock.stepWallClock(2 * hours);
    await expect(leases.acquire("idgen", 1, hours)).rejects.toThrow("all 1 slots of idgen");
  });

  it("a damaged file is an error that names it, not an empty one", async () => {
    const file = newFile();
    await writeFile(file, '{"idgen":{"0":"yesterday"}}');
    await expect(LocalLeases.open(new ManualClock(), file)).rejects.toThrow(file);
  });

  it("a renewal that can't be stored fails and holds the slot no longer", async () => {
    const clock = new ManualClock();
    const gone = await mkdtemp(join(folder, "gone-"));
    const leases = await LocalLeases.open(clock, join(gone, "leases.json"));
    const lease = await leases.acquire("idgen", 1, hours);
    const endMs = lease.expireTimeMs;
    await rm(gone, { recursive: true });
    clock.advance(1_000);
    await expect(lease.renew(hours, 0)).rejects.toThrow("ENOENT");
    expect(lease.expireTimeMs).toBe(endMs);
    await lease.release(0);
  });
});
