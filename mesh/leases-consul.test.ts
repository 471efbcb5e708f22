import { randomBytes } from "node:crypto";
import { afterAll, beforeEach, describe, expect, inject, it } from "vitest";
import { systemClock } from "./clock.ts";
import { ManualClock } from "./clock-manual.ts";
import { ConsulClient } from "./consul-client.ts";
import { leasesContract } from "./leases.contract.ts";
import { LeaseLost } from "./leases.ts";
import { ConsulLeases, type ConsulLeasesOptions } from "./leases-consul.ts";
import { silentLogger } from "./logger.ts";

const consul = new ConsulClient({ url: inject("servers").consulUrl, clock: systemClock });
const root = `test-leases-${randomBytes(6).toString("hex")}/`;
afterAll(() => consul.deleteEntries(root));

let stores = 0;
/** An empty store, as one process after the other sees it, each by its own clock. */
function newStore() {
  const keyPrefix = `${root}${stores++}/`;
  const process = (clock: ManualClock, store: ConsulLeasesOptions["consul"] = consul) =>
    new ConsulLeases({ consul: store, keyPrefix, clock, log: silentLogger });
  return { keyPrefix, process };
}

leasesContract("ConsulLeases", async () => {
  const { process } = newStore();
  const clock = new ManualClock();
  return { leases: process(clock), others: process(clock), clock, close: async () => {} };
});

describe("ConsulLeases", () => {
  const hours = 4 * 3_600_000;
  let clock: ManualClock;
  let store: ReturnType<typeof newStore>;
  beforeEach(() => {
    clock = new ManualClock();
    store = newStore();
  });

  /** Consul whose writes land, but the answers to some are lost. */
  const losingAnswers = () => {
    const away = { answers: 0 };
    const faulty: ConsulLeasesOptions["consul"] = {
      getEntry: (key) => consul.getEntry(key),
      listEntries: (prefix) => consul.listEntries(prefix),
      async setEntry(...args) {
        const written = await consul.setEntry(...args);
        if (away.answers-- > 0) throw new Error("no answer");
        return written;
      },
    };
    return { away, faulty };
  };

  it("[M4] many processes that start at once have slots of their own", async () => {
    const all = await Promise.all(
      Array.from({ length: 24 }, () => store.process(clock).acquire("idgen", 1_024, hours)),
    );
    expect(new Set(all.map(({ slot }) => slot)).size).toBe(24);
  });

  it("[M4] a process that restarts takes another slot", async () => {
    const killed = await store.process(clock).acquire("idgen", 1_024, hours);
    const next = await store.process(clock).acquire("idgen", 1_024, hours);
    expect(next.slot).not.toBe(killed.slot);
    expect(next.highWaterMs).toBe(0);
  });

  it("[M4] a slot whose mark has passed is preferred to one that must be waited for", async () => {
    const first = await store.process(clock).acquire("idgen", 3, hours);
    const second = await store.process(clock).acquire("idgen", 3, hours);
    const third = await store.process(clock).acquire("idgen", 3, hours);
    await first.release(clock.nowMs() + 9_000);
    await second.release(clock.nowMs());
    await third.release(clock.nowMs() + 5_000);
    const slots: number[] = [];
    for (let i = 0; i < 3; i++) {
      slots.push((await store.process(clock).acquire("idgen", 3, hours)).slot);
    }
    expect(slots).toEqual([second.slot, third.slot, first.slot]);
  });

  it("[M4] what holders use is apart, though their clocks disagree", async () => {
    const held = await store.process(clock).acquire("idgen", 1, hours);
    const ahead = new ManualClock(clock.nowMs() + 2 * hours);
    const taken = await store.process(ahead).acquire("idgen", 1, hours);
    expect(taken.highWaterMs).toBe(held.expireTimeMs);
    await expect(held.renew(hours, clock.nowMs())).rejects.toThrow(LeaseLost);
    expect(held.expireTimeMs).toBe(taken.highWaterMs);
  });

  it("[M4] a renewal whose answer was lost is renewed again, with the mark", async () => {
    const { away, faulty } = losingAnswers();
    const lease = await store.process(clock, faulty).acquire("idgen", 1, hours);
    const endMs = lease.expireTimeMs;
    const markMs = clock.nowMs() + 2 * hours;
    clock.advance(hours / 2);
    away.answers = 1;
    await expect(lease.renew(hours, markMs)).rejects.not.toThrow(LeaseLost);
    expect(lease.expireTimeMs).toBe(endMs);
    await lease.renew(hours, 0);
    expect(lease.expireTimeMs).toBe(endMs + hours / 2);
    await lease.release(0);
    const next = await store.process(clock).acquire("idgen", 1, hours);
    expect(next.highWaterMs).toBe(markMs);
  });

  it("[M4] a slot that was taken without knowing is taken again, and needs no waiting", async () => {
    const { away, faulty } = losingAnswers();
    const leases = store.process(clock, faulty);
    away.answers = 1;
    await expect(leases.acquire("idgen", 1, hours)).rejects.toThrow("no answer");
    await expect(store.process(clock).acquire("idgen", 1, hours)).rejects.toThrow("are held");
    const both = await Promise.allSettled([1, 2].map(() => leases.acquire("idgen", 1, hours)));
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(both).toContainEqual(
      expect.objectContaining({ value: expect.objectContaining({ slot: 0, highWaterMs: 0 }) }),
    );
  });

  it("[M4] a slot that could not be released is taken until its lease ends", async () => {
    const away = { is: false };
    const leases = store.process(clock, {
      getEntry: (key) => (away.is ? Promise.reject(new Error("away")) : consul.getEntry(key)),
      listEntries: (prefix) => consul.listEntries(prefix),
      setEntry: (...args) => consul.setEntry(...args),
    });
    const lease = await leases.acquire("idgen", 1, hours);
    away.is = true;
    await lease.release(clock.nowMs());
    away.is = false;
    await expect(leases.acquire("idgen", 1, hours)).rejects.toThrow("all 1 slots of idgen");
    await expect(lease.renew(hours, 0)).rejects.toThrow(LeaseLost);
    clock.advance(hours);
    expect((await leases.acquire("idgen", 1, hours)).highWaterMs).toBe(lease.expireTimeMs);
  });

  it("[M4] a slot that Consul has forgotten is still its holder's", async () => {
    const lease = await store.process(clock).acquire("idgen", 1, hours);
    await consul.deleteEntries(store.keyPrefix);
    await lease.renew(hours, clock.nowMs());
    await expect(store.process(clock).acquire("idgen", 1, hours)).rejects.toThrow("are held");
  });

  it("[M4] a damaged record is never taken for a free slot", async () => {
    await consul.setEntry(`${store.keyPrefix}idgen/0`, '{"holder":"","endMs":"soon"}', 0);
    await expect(store.process(clock).acquire("idgen", 1, hours)).rejects.toThrow("are held");
    expect(await store.process(clock).acquire("idgen", 2, hours)).toMatchObject({ slot: 1 });
  });

  it("is an error while Consul is away", async () => {
    const nowhere = new ConsulClient({ url: "http://127.0.0.1:4", clock: systemClock });
    await expect(store.process(clock, nowhere).acquire("idgen", 1, hours)).rejects.toThrow(
      "ECONNREFUSED",
    );
  });
});
