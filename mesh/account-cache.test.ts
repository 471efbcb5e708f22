import { describe, expect, it, onTestFinished } from "vitest";
import { AccountCache, followAccounts, loadTogether } from "./account-cache.ts";
import { ManualClock } from "./clock-manual.ts";
import { silentLogger } from "./logger.ts";
import { openMemoryStreams } from "./streams-memory.ts";

const maxAgeMs = 30_000;
const pauseMs = 5_000;

/** A cache of lists of names. */
function cacheOf(load: (userId: string) => Promise<string[]>) {
  const clock = new ManualClock();
  let loads = 0;
  const cache = new AccountCache<string[]>({
    load: (userId) => {
      loads++;
      return load(userId);
    },
    sizeOf: ({ length }) => length,
    sizeMax: 500_000,
    maxAgeMs,
    pauseMs,
    clock,
  });
  return { clock, cache, loads: () => loads };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("AccountCache", () => {
  it("[P3] asks once for those who ask at once, and again when the answer is old", async () => {
    const { cache, loads, clock } = cacheOf(async () => ["ben"]);
    await Promise.all([cache.get("anna"), cache.get("anna")]);
    clock.advance(maxAgeMs - 1);
    expect(await cache.get("anna")).toEqual(["ben"]);
    expect(loads()).toBe(1);
    clock.advance(1);
    await cache.get("anna");
    expect(loads()).toBe(2);
  });

  it("[R2] goes on with what it knew while Session is away, and asks again after a pause", async () => {
    let isAway = false;
    const { cache, clock, loads } = cacheOf(async () => {
      if (isAway) throw new Error("away");
      return ["ben"];
    });
    await cache.get("anna");
    isAway = true;
    clock.advance(10 * maxAgeMs);
    expect(await cache.get("anna")).toEqual(["ben"]);
    expect(await cache.get("carl")).toBeUndefined();
    expect(loads()).toBe(2);
    isAway = false;
    clock.advance(pauseMs);
    expect(await cache.get("carl")).toEqual(["ben"]);
  });

  it("[R2] tells what it knows at once, and asks again meanwhile where that is old", async () => {
    let names = ["ben"];
    const { cache, clock, loads } = cacheOf(async () => names);
    expect(cache.known("anna")).toBeUndefined();
    await cache.get("anna");
    names = ["carl"];
    clock.advance(maxAgeMs);
    expect(cache.known("anna")).toEqual(["ben"]);
    await settle();
    expect(cache.known("anna")).toEqual(["carl"]);
    expect(loads()).toBe(2);
    cache.expire("anna");
    expect(cache.known("anna")).toBeUndefined();
  });

  it("[A2] asks again about an account that has changed, at once", async () => {
    const known = new Map([["anna", ["ben"]]]);
    const { cache } = cacheOf(async (userId) => known.get(userId)!);
    await cache.get("anna");
    known.set("anna", ["carl"]);
    expect(await cache.get("anna")).toEqual(["ben"]);
    cache.expire("anna");
    cache.expire("nobody");
    expect(await cache.get("anna")).toEqual(["carl"]);
  });

  it("[A2] an answer that the account's change has overtaken is not kept", async () => {
    const answers: ((names: string[]) => void)[] = [];
    const { cache } = cacheOf(() => new Promise((resolve) => answers.push(resolve)));
    const first = cache.get("anna");
    cache.expire("anna");
    const second = cache.get("anna");
    answers[1]!(["new"]);
    answers[0]!(["old"]);
    expect(await Promise.all([first, second])).toEqual([["old"], ["new"]]);
    expect(await cache.get("anna")).toEqual(["new"]);
    expect(answers).toHaveLength(2);
  });

  it("[A2] hears of changes as soon as the bus is there", async () => {
    const { cache, clock } = cacheOf(async () => []);
    const streams = openMemoryStreams({ clock });
    onTestFinished(() => streams.close());
    const expired: string[] = [];
    cache.expire = (userId) => expired.push(userId);
    let failures = 1;
    const bus: Pick<typeof streams, "subscribeAccounts"> = {
      subscribeAccounts: async (onChange) => {
        if (failures-- > 0) throw new Error("away");
        return streams.subscribeAccounts(onChange);
      },
    };
    const following = followAccounts(cache, { streams: bus, clock, log: silentLogger });
    await settle();
    streams.publishAccount("anna");
    clock.advance(1_000);
    await settle();
    streams.publishAccount("ben");
    await settle();
    await following.stop();
    streams.publishAccount("carl");
    await settle();
    expect(expired).toEqual(["ben"]);
  });

  it("asks Session 64 things at once, the rest in turn", async () => {
    const answers: (() => void)[] = [];
    const { cache, loads } = cacheOf(
      (userId) => new Promise((resolve) => answers.push(() => resolve([userId]))),
    );
    const all = Array.from({ length: 100 }, (_, i) => cache.get(`user-${i}`));
    await settle();
    expect(loads()).toBe(64);
    answers.shift()!();
    await settle();
    expect(loads()).toBe(65);
    while (answers.length > 0) {
      answers.shift()!();
      await settle();
    }
    expect((await Promise.all(all)).map((names) => names?.[0])).toEqual(
      Array.from({ length: 100 }, (_, i) => `user-${i}`),
    );
  });

  it("gives up at once when 10,000 accounts are being looked up", async () => {
    const { cache } = cacheOf(() => new Promise(() => {}));
    for (let i = 0; i < 10_000; i++) void cache.get(`user-${i}`);
    expect(await cache.get("anna")).toBeUndefined();
  });

  it("remembers as much as it may; what was used longest ago goes first", async () => {
    const many = Array.from({ length: 99_999 }, (_, i) => `friend-${i}`);
    const { cache, loads } = cacheOf(async () => many);
    for (const userId of ["a", "b", "c", "d", "e"]) await cache.get(userId);
    await cache.get("a");
    expect(loads()).toBe(5);
    await cache.get("f");
    await cache.get("a");
    expect(loads()).toBe(6);
    await cache.get("b");
    expect(loads()).toBe(7);
  });
});

describe("accounts that are asked for at once", () => {
  it("[R1] share a call, up to as many as one may have", async () => {
    const calls: string[][] = [];
    const load = loadTogether(async (userIds) => {
      calls.push([...userIds]);
      return new Map(userIds.map((userId) => [userId, userId.toUpperCase()]));
    }, 2);
    expect(await Promise.all(["a", "b", "c"].map(load))).toEqual(["A", "B", "C"]);
    expect(await load("d")).toBe("D");
    expect(calls).toEqual([["a", "b"], ["c"], ["d"]]);
  });
});
