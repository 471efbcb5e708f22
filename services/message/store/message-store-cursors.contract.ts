/** How every adapter of message-store.ts keeps members' cursors. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { MemberCursorRow } from "./message-store.ts";
import type { OpenMessageStore } from "./message-store-under-test.ts";

/** A part of the suite. */
export function memberCursorsContract(test: OpenMessageStore): void {
  const cursor = (row: Partial<MemberCursorRow> = {}): MemberCursorRow => ({
    ...{ channelId: "g-1", userId: "u1", deliveredMessageId: 0n, moveTimeMs: 1_000 },
    ...{ readMessageId: 0n, readMessageNumber: 0 },
    ...row,
  });
  const put = (...rows: Partial<MemberCursorRow>[]) =>
    test.store.putMemberCursors(rows.map(cursor));
  const get = async (userId = "u1", channelIds = ["g-1"]) =>
    test.store.getMemberCursors(userId, channelIds);

  describe("members' cursors", () => {
    it("[M8] are each member's own in each channel", async () => {
      const rows = [
        cursor({ deliveredMessageId: 9n, readMessageId: 7n, readMessageNumber: 3 }),
        cursor({ userId: "u2", deliveredMessageId: 5n }),
        cursor({ channelId: "g-2", readMessageId: 2n ** 62n, readMessageNumber: 2 ** 32 - 1 }),
      ];
      await put(...rows);
      expect(await get()).toEqual([rows[0]]);
      expect(await get("u2", ["g-2", "g-1"])).toEqual([rows[1]]);
      expect(await get("u1", ["g-3", "g-2"])).toEqual([rows[2]]);
      expect(await get("u3")).toEqual([]);
    });

    it("[M8] list a channel's by user id, a page at a time", async () => {
      const rows = ["u3", "u1", "u10"].map((userId) => cursor({ userId, deliveredMessageId: 1n }));
      await put(...rows, { channelId: "g-", deliveredMessageId: 1n });
      const list = async (after: string, limit: number) =>
        (await test.store.listMemberCursors("g-1", after, limit)).map(({ userId }) => userId);
      expect(await list("", 10)).toEqual(["u1", "u10", "u3"]);
      expect(await list("u1", 1)).toEqual(["u10"]);
      expect(await list("u3", 10)).toEqual([]);
    });

    it("[M8] move with the messages that move them", async () => {
      await test.store.apply({ cursors: [cursor({ readMessageId: 7n, readMessageNumber: 3 })] });
      await test.store.apply({ cursors: [cursor({ readMessageId: 5n, readMessageNumber: 2 })] });
      expect(await get()).toEqual([cursor({ readMessageId: 7n, readMessageNumber: 3 })]);
    });

    it("[M8] move only forward, in whatever order and however often moves arrive", async () => {
      let runs = 0;
      await fc.assert(
        fc.asyncProperty(moves, async (batches) => {
          const channelId = `p-${runs++}`;
          for (const batch of batches) {
            await put(
              ...batch.map(({ isRead, id }) =>
                isRead
                  ? { channelId, readMessageId: BigInt(id), readMessageNumber: 2 * id }
                  : { channelId, deliveredMessageId: BigInt(id) },
              ),
            );
          }
          const all = batches.flat();
          const furthest = (wanted: boolean) =>
            Math.max(0, ...all.filter(({ isRead }) => isRead === wanted).map(({ id }) => id));
          expect(await get("u1", [channelId])).toEqual(
            all.length === 0
              ? []
              : [
                  cursor({
                    channelId,
                    deliveredMessageId: BigInt(furthest(false)),
                    readMessageId: BigInt(furthest(true)),
                    readMessageNumber: 2 * furthest(true),
                  }),
                ],
          );
        }),
        { numRuns: 50 },
      );
    });

    it("[M8] say when they moved last", async () => {
      await put({ deliveredMessageId: 9n, moveTimeMs: 2_000 });
      await put({ readMessageId: 7n, readMessageNumber: 3, moveTimeMs: 3_000 });
      await put({ deliveredMessageId: 8n, moveTimeMs: 4_000 });
      expect(await get()).toMatchObject([{ moveTimeMs: 3_000 }]);
    });
  });
}

/** Moves of one member's two positions, in batches. */
const moves = fc.array(
  fc.array(fc.record({ isRead: fc.boolean(), id: fc.integer({ min: 1, max: 9 }) }), {
    minLength: 1,
    maxLength: 5,
  }),
  { maxLength: 6 },
);
