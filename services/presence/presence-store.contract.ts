/** What every adapter of presence-store.ts does. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type PresenceRow, type PresenceStore, rowsMax } from "./presence-store.ts";

/** Runs the suite over an empty store. */
export function presenceStoreContract(adapter: string, open: () => Promise<PresenceStore>): void {
  describe(`PresenceStore: ${adapter}`, () => {
    let store: PresenceStore;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    const row = (userId: string, isOnline: boolean, lastActiveMs = 1_767_225_600_123) => ({
      userId,
      isOnline,
      lastActiveMs,
    });

    it("[P1] reads rows in the order asked for, and what was never stored as undefined", async () => {
      await store.put([row("anna", true), row("ben", false, 0)]);
      expect(await store.get(["ben", "nobody", "anna", "ben"])).toEqual([
        row("ben", false, 0),
        undefined,
        row("anna", true),
        row("ben", false, 0),
      ]);
    });

    it("[P1] a row replaces the one before, also within a batch", async () => {
      await store.put([row("anna", true, 1), row("anna", false, 2)]);
      expect(await store.get(["anna"])).toEqual([row("anna", false, 2)]);
      await store.put([row("anna", true, 3)]);
      expect(await store.get(["anna"])).toEqual([row("anna", true, 3)]);
    });

    it("[P1] the time of a row never goes back, also within a batch", async () => {
      await store.put([row("anna", true, 5), row("anna", false, 2), row("ben", true, 5)]);
      await store.put([row("ben", false, 2)]);
      expect(await store.get(["anna", "ben"])).toEqual([
        row("anna", false, 5),
        row("ben", false, 5),
      ]);
    });

    it("[P5] lists who is online in pages, ordered by user id", async () => {
      await store.put([row("dora", true), row("ben", true), row("carl", false), row("anna", true)]);
      expect(await store.listOnline("", 2)).toEqual([row("anna", true), row("ben", true)]);
      expect(await store.listOnline("ben", 2)).toEqual([row("dora", true)]);
      expect(await store.listOnline("dora", 2)).toEqual([]);
    });

    it("[P5] lists nobody who has gone since", async () => {
      await store.put([row("anna", true)]);
      await store.put([row("anna", false)]);
      expect(await store.listOnline("", 10)).toEqual([]);
    });

    it("takes as many rows as it says", async () => {
      const rows: PresenceRow[] = Array.from({ length: rowsMax }, (_, i) =>
        row(`user-${String(i).padStart(4, "0")}`, true, i),
      );
      await store.put(rows);
      expect(await store.get(rows.map(({ userId }) => userId))).toEqual(rows);
      expect(await store.listOnline("", rowsMax)).toEqual(rows);
    });
  });
}
