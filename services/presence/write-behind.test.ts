import { beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { silentLogger } from "../../mesh/logger.ts";
import type { PresenceRow } from "./presence-store.ts";
import { MemoryPresenceStore } from "./presence-store-memory.ts";
import { WriteBehind } from "./write-behind.ts";

const delayMs = 2_000;
const row = (userId: string, lastActiveMs: number): PresenceRow => ({
  userId,
  isOnline: true,
  lastActiveMs,
});
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("WriteBehind", () => {
  let clock: ManualClock;
  let batches: PresenceRow[][];
  let isAway: boolean;
  let rows: WriteBehind;

  beforeEach(() => {
    clock = new ManualClock();
    batches = [];
    isAway = false;
    class RecordingStore extends MemoryPresenceStore {
      override async put(batch: readonly PresenceRow[]): Promise<void> {
        if (isAway) throw new Error("the store is away");
        batches.push([...batch]);
        await super.put(batch);
      }
    }
    rows = new WriteBehind({ store: new RecordingStore(), delayMs, clock, log: silentLogger });
  });

  async function advance(ms: number): Promise<void> {
    clock.advance(ms);
    await settle();
  }

  it("[P1] writes what gathers together, of each user the latest", async () => {
    rows.put(row("anna", 1));
    rows.put(row("ben", 1));
    rows.put(row("anna", 2));
    await advance(delayMs - 1);
    expect(batches).toEqual([]);
    await advance(1);
    expect(batches).toEqual([[row("ben", 1), row("anna", 2)]]);
    await advance(delayMs);
    expect(batches).toHaveLength(1);
  });

  it("[P1] reads what is not written yet", async () => {
    rows.put(row("anna", 1));
    await advance(delayMs);
    rows.put(row("ben", 2));
    expect(await rows.get(["ben", "anna", "carl"])).toEqual([
      row("ben", 2),
      row("anna", 1),
      undefined,
    ]);
  });

  it("[P1] writes again what the store refused, or what has replaced it", async () => {
    isAway = true;
    rows.put(row("anna", 1));
    rows.put(row("ben", 1));
    await advance(delayMs);
    rows.put(row("anna", 2));
    isAway = false;
    await advance(delayMs);
    expect(batches).toEqual([[row("ben", 1), row("anna", 2)]]);
  });

  it("[P1] a row that changes while it is written is written again", async () => {
    rows.put(row("anna", 1));
    const flushed = rows.flush();
    rows.put(row("anna", 2));
    expect(await flushed).toBe(true);
    await advance(delayMs);
    expect(batches).toEqual([[row("anna", 1)], [row("anna", 2)]]);
  });

  it("writes many rows in batches of 1,000", async () => {
    for (let i = 0; i < 2_500; i++) rows.put(row(`user-${i}`, i));
    await advance(delayMs);
    expect(batches.map(({ length }) => length)).toEqual([1_000, 1_000, 500]);
  });

  it("gives up the oldest of more than 200,000 rows", async () => {
    for (let i = 0; i <= 200_000; i++) rows.put(row(`user-${i}`, i));
    expect(await rows.get(["user-0", "user-1"])).toEqual([undefined, row("user-1", 1)]);
  });

  it("[P1] a close writes what waits and leaves no timer", async () => {
    rows.put(row("anna", 1));
    await rows.close();
    expect(batches).toEqual([[row("anna", 1)]]);
    expect(clock.nextDueMs()).toBeUndefined();
  });
});
