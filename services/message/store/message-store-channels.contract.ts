/** How every adapter of message-store.ts keeps channels, memberships and cursors. */
import { create, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ChannelAccessSchema } from "../../../gen/parley/log/v1/log_pb.js";
import { MemberRole } from "../../../gen/parley/message/v1/message_pb.js";
import type { AccessRow, DeviceCursorRow, MembershipRow } from "./message-store.ts";
import { channel, type OpenMessageStore, stay } from "./message-store-under-test.ts";

/** A part of the suite. */
export function channelRowsContract(test: OpenMessageStore): void {
  describe("channels", () => {
    it("come back as they were stored", async () => {
      await test.store.apply({ channels: [channel(7), channel(1, "g-2")] });
      expect(await test.store.getChannel("g-1")).toEqual(channel(7));
      expect(await test.store.getChannel("g-2")).toEqual(channel(1, "g-2"));
      expect(await test.store.getChannel("g-3")).toBeUndefined();
    });

    it("keep the row of the greatest sequence, whatever comes last", async () => {
      await test.store.apply({ channels: [channel(7), channel(6)] });
      await test.store.apply({ channels: [channel(5)] });
      expect(await test.store.getChannel("g-1")).toEqual(channel(7));
    });
  });

  describe("who is kept out, and who gets in by a link", () => {
    const access = (sequence: number, channelId = "g-1"): AccessRow => ({
      channelId,
      access: create(ChannelAccessSchema, {
        bans: [{ userId: `u${sequence}`, bannedById: "u1" }],
        inviteLinks: [{ inviteLink: { inviteLinkId: sequence }, tokenHash: new Uint8Array(32) }],
      }),
      sequence,
    });

    const shown = (row: AccessRow | undefined) =>
      row && { ...row, access: toJson(ChannelAccessSchema, row.access) };

    it("[G1] comes back as of the greatest sequence, whatever comes last", async () => {
      await test.store.apply({ access: [access(7), access(6), access(1, "g-2")] });
      await test.store.apply({ access: [access(5)] });
      expect(shown(await test.store.getAccess("g-1"))).toEqual(shown(access(7)));
      expect(shown(await test.store.getAccess("g-2"))).toEqual(shown(access(1, "g-2")));
      expect(await test.store.getAccess("g-3")).toBeUndefined();
    });
  });

  describe("memberships", () => {
    const members = async (after = "", limit = 1_000) =>
      (await test.store.listMembers("g-1", after, limit)).map(({ userId }) => userId);

    it("[G1] list the present members by user id, a page at a time", async () => {
      const rows = ["u3", "u1", "u10", "u2"].map((userId) => stay({ userId }));
      await test.store.apply({
        memberships: [...rows, stay({ userId: "u4", leftSequence: 9 }), stay({ channelId: "g-" })],
      });
      expect(await members()).toEqual(["u1", "u10", "u2", "u3"]);
      expect(await members("u10", 1)).toEqual(["u2"]);
      expect(await members("u3")).toEqual([]);
      expect(await test.store.listMembers("g-1", "u2", 1)).toEqual([rows[0]]);
    });

    it("[G4] keep every stay of a user, in order", async () => {
      const first = stay({ joinedSequence: 1, leftSequence: 5, sequence: 5 });
      const second = stay({ joinedSequence: 9, role: MemberRole.ADMIN, sequence: 12 });
      await test.store.apply({
        memberships: [second, first, stay({ userId: "u", joinedSequence: 4 })],
      });
      expect(await test.store.listStays("g-1", "u1")).toEqual([first, second]);
      expect(await test.store.listStays("g-1", "u2")).toEqual([]);
      expect(await test.store.listMembers("g-1", "", 10)).toEqual([
        stay({ userId: "u", joinedSequence: 4 }),
        second,
      ]);
    });

    it("[G1] list the channels that a user is in now, a page at a time", async () => {
      await test.store.apply({
        memberships: [
          stay({ channelId: "g-2" }),
          stay({ channelId: "d-1" }),
          stay({ channelId: "g-1", leftSequence: 3, sequence: 3 }),
          stay({ channelId: "g-3", userId: "u10" }),
          stay({ channelId: "g-4" }),
        ],
      });
      expect(await test.store.listChannelIds("u1", "", 10)).toEqual(["d-1", "g-2", "g-4"]);
      expect(await test.store.listChannelIds("u1", "d-1", 1)).toEqual(["g-2"]);
      expect(await test.store.listChannelIds("u1", "g-4", 10)).toEqual([]);
    });

    it("[R2] are all listed once, a page at a time", async () => {
      const ids = Array.from({ length: 25 }, (_, i) => `g-${i}`);
      await test.store.apply({ channels: ids.map((channelId) => channel(3, channelId)) });
      const listed: string[] = [];
      for (let after = "", more = true; more; ) {
        const page = await test.store.listAllChannels(after, 10);
        listed.push(...page.map((row) => row.channel.channelId));
        after = listed.at(-1)!;
        more = page.length > 0;
      }
      expect(listed.sort()).toEqual(ids.sort());
    });

    it("[G4] come out the same in whatever order and however often rows arrive", async () => {
      let runs = 0;
      await fc.assert(
        fc.asyncProperty(arrivals, async (batches) => {
          const channelId = `p-${runs++}`;
          const rows = batches.map((batch) => batch.map((row) => ({ ...row, channelId })));
          for (const memberships of rows) await test.store.apply({ memberships });
          const wanted = newestRows(rows.flat());
          for (const userId of ["u1", "u2"]) {
            expect(await test.store.listStays(channelId, userId)).toEqual(
              wanted.filter((row) => row.userId === userId),
            );
          }
          const present = wanted.filter(({ leftSequence }) => leftSequence === 0);
          const lastOfUser = present.filter((row, i) => row.userId !== present[i + 1]?.userId);
          expect(await test.store.listMembers(channelId, "", 10)).toEqual(lastOfUser);
          for (const userId of ["u1", "u2"]) {
            const isIn = present.some((row) => row.userId === userId);
            const ids = await test.store.listChannelIds(userId, "", 1_000);
            expect(ids.includes(channelId)).toBe(isIn);
          }
        }),
        { numRuns: 50 },
      );
    });
  });

  describe("device cursors", () => {
    const cursor = (row: Partial<DeviceCursorRow> = {}): DeviceCursorRow => ({
      ...{ userId: "u1", deviceId: "d1", inboxEpoch: "e1", inboxSequence: 5 },
      curMaxMessageId: 50n,
      ...row,
    });
    const put = async (row: Partial<DeviceCursorRow>) => {
      await test.store.putDeviceCursor(cursor(row));
      return test.store.getDeviceCursor("u1", "d1");
    };

    it("[S1] are each device's own", async () => {
      await put({});
      await put({ deviceId: "d2", inboxSequence: 9 });
      await put({ userId: "u2", curMaxMessageId: 2n ** 63n - 1n });
      expect(await test.store.getDeviceCursor("u1", "d1")).toEqual(cursor());
      expect(await test.store.getDeviceCursor("u1", "d2")).toMatchObject({ inboxSequence: 9 });
      expect(await test.store.getDeviceCursor("u2", "d1")).toMatchObject({
        curMaxMessageId: 2n ** 63n - 1n,
      });
      expect(await test.store.getDeviceCursor("u2", "d2")).toBeUndefined();
    });

    it("[S1] move only forward within an epoch, each number by itself", async () => {
      await put({});
      expect(await put({ inboxSequence: 4, curMaxMessageId: 60n })).toEqual(
        cursor({ curMaxMessageId: 60n }),
      );
      expect(await put({ inboxSequence: 6, curMaxMessageId: 40n })).toEqual(
        cursor({ inboxSequence: 6, curMaxMessageId: 60n }),
      );
    });

    it("[S4] always move to another epoch", async () => {
      await put({});
      const other = cursor({ inboxEpoch: "e2", inboxSequence: 1, curMaxMessageId: 7n });
      expect(await put(other)).toEqual(other);
      expect(await put(cursor())).toEqual(cursor());
    });

    it("[S1] that are moved at the same time end at the greatest", async () => {
      await Promise.all(
        [3, 9, 1, 7].map((inboxSequence) => test.store.putDeviceCursor(cursor({ inboxSequence }))),
      );
      expect(await test.store.getDeviceCursor("u1", "d1")).toMatchObject({ inboxSequence: 9 });
    });
  });
}

/** Rows of two users' stays, some of them ended later, in batches; each row is decided by its key
 * and sequence, as the log decides them. */
const arrivals = fc.array(
  fc.array(
    fc
      .record({ user: fc.nat(1), joined: fc.integer({ min: 1, max: 3 }), later: fc.nat(2) })
      .map(({ user, joined, later }) =>
        stay({
          userId: `u${user + 1}`,
          joinedSequence: joined * 10,
          sequence: joined * 10 + later,
          leftSequence: later === 2 ? joined * 10 + later : 0,
          role: later === 1 ? MemberRole.ADMIN : MemberRole.MEMBER,
        }),
      ),
    { minLength: 1, maxLength: 5 },
  ),
  { maxLength: 6 },
);

/** Of each stay the row of the greatest sequence, by user and time of joining. */
function newestRows(rows: readonly MembershipRow[]): MembershipRow[] {
  const newest = new Map<string, MembershipRow>();
  for (const row of rows) {
    const key = `${row.userId} ${row.joinedSequence}`;
    if ((newest.get(key)?.sequence ?? 0) <= row.sequence) newest.set(key, row);
  }
  return [...newest.keys()].sort().map((key) => newest.get(key)!);
}
