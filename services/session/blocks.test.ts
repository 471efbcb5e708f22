import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Audience, FriendState } from "../../gen/parley/session/v1/session_pb.js";
import {
  CheckContactsRequest_Kind as Kind,
  Contact_Verdict as Verdict,
} from "../../gen/parley/session/v1/session_service_pb.js";
import { befriend, type Someone, TestSession } from "./test-session.ts";

let session: TestSession;
let anna: Someone;
let bert: Someone;
beforeAll(async () => {
  session = await TestSession.open();
});
afterAll(() => session.close());
beforeEach(async () => {
  anna = await session.someone();
  bert = await session.someone();
});

describe("blocks", () => {
  const blockedBy = async ({ calls }: Someone) =>
    (await calls.listBlockedUsers({})).blockedUsers.map(({ user }) => user!.userId);

  it("[A2] a block shows to who made it, from when on, until it is ended", async () => {
    await anna.calls.blockUser({ userId: bert.userId });
    const [block] = (await anna.calls.listBlockedUsers({})).blockedUsers;
    expect(block!.user!.userId).toBe(bert.userId);
    session.clock.advance(1_000);
    await anna.calls.blockUser({ userId: bert.userId });
    expect((await anna.calls.listBlockedUsers({})).blockedUsers).toEqual([block]);
    expect(await blockedBy(bert)).toEqual([]);
    await anna.calls.unblockUser({ userId: bert.userId });
    await anna.calls.unblockUser({ userId: bert.userId });
    expect(await blockedBy(anna)).toEqual([]);
  });

  it("[A2] ends a friendship, and requests, on both sides", async () => {
    await befriend(anna, bert);
    await bert.calls.blockUser({ userId: anna.userId });
    for (const { calls } of [anna, bert]) {
      expect((await calls.listFriends({})).friends).toEqual([]);
    }
    const carl = await session.someone();
    await carl.calls.requestFriend({ userId: bert.userId });
    await bert.calls.blockUser({ userId: carl.userId });
    expect((await carl.calls.listFriends({})).friends).toEqual([]);
    await expect(bert.calls.acceptFriend({ userId: carl.userId })).rejects.toMatchObject({
      reason: "FRIEND_REQUEST_NOT_FOUND",
    });
  });

  it("[A2] as long as one has blocked the other neither can ask to be friends", async () => {
    await anna.calls.blockUser({ userId: bert.userId });
    for (const [one, other] of [
      [anna, bert],
      [bert, anna],
    ] as const) {
      await expect(one.calls.requestFriend({ userId: other.userId })).rejects.toMatchObject({
        reason: "BLOCKED",
      });
    }
    await anna.calls.unblockUser({ userId: bert.userId });
    const { friend } = await bert.calls.requestFriend({ userId: anna.userId });
    expect(friend!.state).toBe(FriendState.REQUESTED);
  });

  it("[A2] a block and a friendship that come at once leave no friends", async () => {
    for (let i = 0; i < 10; i++) {
      const [one, other] = [await session.someone(), await session.someone()];
      await one.calls.requestFriend({ userId: other.userId });
      await Promise.allSettled([
        other.calls.acceptFriend({ userId: one.userId }),
        one.calls.blockUser({ userId: other.userId }),
        other.calls.blockUser({ userId: one.userId }),
        one.calls.requestFriend({ userId: other.userId }),
      ]);
      expect(await blockedBy(one)).toEqual([other.userId]);
      expect((await other.calls.listFriends({})).friends).toEqual([]);
    }
  });

  it("[A2] oneself and what is no user can't be blocked", async () => {
    for (const [userId, reason] of [
      [anna.userId, "FIELD_INVALID"],
      ["no id", "FIELD_INVALID"],
      ["unknown000000000", "USER_NOT_FOUND"],
    ] as const) {
      await expect(anna.calls.blockUser({ userId })).rejects.toMatchObject({ reason });
    }
    await expect(session.as().blockUser({ userId: bert.userId })).rejects.toMatchObject({
      reason: "TOKEN_MISSING",
    });
  });

  it("[A2] 5,000 are the most, and pages have each once, in the order of ids", async () => {
    await session.sql.query(`
      INSERT INTO users (user_id, username, display_name, password_hash, create_time)
      SELECT lpad(n::text, 16, 'g'), 'blocked-' || n, 'Filler', '', now()
      FROM generate_series(1, 5000) AS n;
      INSERT INTO blocks (user_id, blocked_id, create_time)
      SELECT '${anna.userId}', lpad(n::text, 16, 'g'), now() FROM generate_series(1, 5000) AS n
    `);
    await expect(anna.calls.blockUser({ userId: bert.userId })).rejects.toMatchObject({
      reason: "TOO_MANY_BLOCKS",
    });
    const listed: string[] = [];
    let pageToken = "";
    do {
      const page = await anna.calls.listBlockedUsers({ pageToken, pageSize: 1_500 });
      expect(page.blockedUsers).toHaveLength(1_000);
      listed.push(...page.blockedUsers.map(({ user }) => user!.userId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(listed).toEqual([...listed].sort());
    const { blocks } = await session.as().listBlockedUserIds({ userIds: [anna.userId] });
    expect(blocks).toMatchObject([{ userId: anna.userId, blockedUserIds: listed }]);
  });

  it("[A2] lists the ids of 1 to 40 users at a time", async () => {
    for (const count of [0, 41]) {
      const userIds = Array<string>(count).fill(anna.userId);
      await expect(session.as().listBlockedUserIds({ userIds })).rejects.toMatchObject({
        reason: "FIELD_INVALID",
      });
    }
  });

  it("[A2] refuses a negative size and a token that is none", async () => {
    for (const bad of [{ pageSize: -1 }, { pageToken: "?" }]) {
      await expect(anna.calls.listBlockedUsers(bad)).rejects.toMatchObject({
        reason: "FIELD_INVALID",
      });
    }
  });

  it("[A2] those who keep something of either are told of what changes between them", async () => {
    const before = session.changed.length;
    await anna.calls.blockUser({ userId: bert.userId });
    expect(session.changed.slice(before).sort()).toEqual([anna.userId, bert.userId].sort());
    const userIds = [anna.userId, bert.userId];
    const { blocks } = await session.as().listBlockedUserIds({ userIds });
    expect(blocks).toMatchObject([{ userId: anna.userId, blockedUserIds: [bert.userId] }]);
    const { friends } = await session.as().listFriendIds({ userIds });
    expect(friends!.map(({ blockedUserIds }) => blockedUserIds).sort()).toEqual([
      [],
      [bert.userId],
    ]);
  });
});

describe("CheckContacts", () => {
  const { EVERYBODY, FRIENDS, NOBODY } = Audience;
  const { ALLOWED, BLOCKED, NOT_IN_AUDIENCE } = Verdict;

  /** What a user may do to another. */
  async function verdicts(one: Someone, other: Someone): Promise<(Verdict | undefined)[]> {
    const ask = async (kind: Kind) => {
      const request = { userId: one.userId, otherUserIds: [other.userId], kind };
      return (await session.as().checkContacts(request)).contacts[0]?.verdict;
    };
    return [await ask(Kind.MESSAGE), await ask(Kind.GROUP_ADD)];
  }

  it.each([
    { setting: EVERYBODY, stranger: ALLOWED, friend: ALLOWED },
    { setting: FRIENDS, stranger: NOT_IN_AUDIENCE, friend: ALLOWED },
    { setting: NOBODY, stranger: NOT_IN_AUDIENCE, friend: NOT_IN_AUDIENCE },
  ])(
    "[A2] goes by the audience $setting of what is wanted",
    async ({ setting, stranger, friend }) => {
      const carl = await session.someone();
      await befriend(anna, carl);
      await anna.calls.updateSettings({ settings: { messageAudience: setting } });
      expect(await verdicts(bert, anna)).toEqual([stranger, ALLOWED]);
      expect(await verdicts(carl, anna)).toEqual([friend, ALLOWED]);
      await anna.calls.updateSettings({ settings: { groupAddAudience: setting } });
      expect(await verdicts(bert, anna)).toEqual([ALLOWED, stranger]);
      expect(await verdicts(carl, anna)).toEqual([ALLOWED, friend]);
    },
  );

  it("[A2] who only asked is no friend", async () => {
    await anna.calls.updateSettings({ settings: { messageAudience: FRIENDS } });
    await bert.calls.requestFriend({ userId: anna.userId });
    expect((await verdicts(bert, anna))[0]).toBe(NOT_IN_AUDIENCE);
  });

  it("[A2] a block stands before everything, in one direction", async () => {
    await befriend(anna, bert);
    await anna.calls.blockUser({ userId: bert.userId });
    expect(await verdicts(bert, anna)).toEqual([BLOCKED, BLOCKED]);
    expect(await verdicts(anna, bert)).toEqual([ALLOWED, ALLOWED]);
  });

  it("[A2] answers for each who exists, in the order of ids", async () => {
    const otherUserIds = [anna.userId, "unknown000000000", bert.userId, anna.userId];
    const request = { userId: "unknown000000001", otherUserIds, kind: Kind.MESSAGE };
    const { contacts } = await session.as().checkContacts(request);
    expect(contacts.map(({ userId }) => userId)).toEqual([anna.userId, bert.userId].sort());
  });

  it("[A2] refuses a bad request", async () => {
    const good = { userId: anna.userId, otherUserIds: [bert.userId], kind: Kind.MESSAGE };
    for (const bad of [
      { ...good, userId: "x" },
      { ...good, otherUserIds: [] },
      { ...good, otherUserIds: Array(101).fill(bert.userId) },
      { ...good, otherUserIds: ["x"] },
      { ...good, kind: Kind.UNSPECIFIED },
    ]) {
      await expect(session.as().checkContacts(bad)).rejects.toMatchObject({
        reason: "FIELD_INVALID",
      });
    }
  });

  it("[A2] a user who wants no requests of friendship gets none", async () => {
    await anna.calls.updateSettings({ settings: { friendRequestAudience: NOBODY } });
    await expect(bert.calls.requestFriend({ userId: anna.userId })).rejects.toMatchObject({
      reason: "NOT_IN_AUDIENCE",
    });
    // But may ask, and then both want it.
    await anna.calls.requestFriend({ userId: bert.userId });
    const { friend } = await bert.calls.requestFriend({ userId: anna.userId });
    expect(friend!.state).toBe(FriendState.FRIENDS);
  });
});
