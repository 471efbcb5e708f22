import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Audience, FriendState } from "../../gen/parley/session/v1/session_pb.js";
import { befriend, type Someone, TestSession } from "./test-session.ts";

const { REQUESTED, INVITED, FRIENDS } = FriendState;

describe("friends", () => {
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

  /** How others stand to someone, by their ids. */
  async function statesOf({ calls }: Someone): Promise<Record<string, FriendState>> {
    const { friends } = await calls.listFriends({});
    return Object.fromEntries(friends.map(({ user, state }) => [user!.userId, state]));
  }

  /** Gives someone many rows at once, with users that have no other use. */
  async function fill(owner: Someone, state: FriendState, count: number): Promise<void> {
    await session.sql.query(`
      INSERT INTO users (user_id, username, display_name, password_hash, create_time)
      SELECT lpad(n::text, 16, 'f'), 'filler-' || n, 'Filler', '', now()
      FROM generate_series(1, ${count}) AS n ON CONFLICT DO NOTHING;
      INSERT INTO friends (user_id, friend_id, state, change_time)
      SELECT '${owner.userId}', lpad(n::text, 16, 'f'), ${state}, now()
      FROM generate_series(1, ${count}) AS n
    `);
  }

  it("[A2] a request shows on both sides and is accepted", async () => {
    const asked = await anna.calls.requestFriend({ userId: bert.userId });
    expect(asked.friend).toMatchObject({
      user: { userId: bert.userId, username: bert.username },
      state: REQUESTED,
    });
    expect(await statesOf(anna)).toEqual({ [bert.userId]: REQUESTED });
    expect(await statesOf(bert)).toEqual({ [anna.userId]: INVITED });

    session.clock.advance(1_000);
    const { friend } = await bert.calls.acceptFriend({ userId: anna.userId });
    expect(friend).toMatchObject({ user: { userId: anna.userId }, state: FRIENDS });
    expect(friend!.changeTime).not.toEqual(asked.friend!.changeTime);
    expect(await statesOf(anna)).toEqual({ [bert.userId]: FRIENDS });
    expect(await statesOf(bert)).toEqual({ [anna.userId]: FRIENDS });
  });

  it("[A2] asking who has asked already makes both friends", async () => {
    await anna.calls.requestFriend({ userId: bert.userId });
    const { friend } = await bert.calls.requestFriend({ userId: anna.userId });
    expect(friend).toMatchObject({ state: FRIENDS });
    expect(await statesOf(anna)).toEqual({ [bert.userId]: FRIENDS });
  });

  it("[A2] requests that cross make both friends", async () => {
    const answers = await Promise.all([
      anna.calls.requestFriend({ userId: bert.userId }),
      bert.calls.requestFriend({ userId: anna.userId }),
    ]);
    expect(answers.map((answer) => answer.friend!.state).sort()).toEqual([REQUESTED, FRIENDS]);
    expect(await statesOf(anna)).toEqual({ [bert.userId]: FRIENDS });
    expect(await statesOf(bert)).toEqual({ [anna.userId]: FRIENDS });
  });

  it("[A2] a repeated request or acceptance changes nothing", async () => {
    const asked = await anna.calls.requestFriend({ userId: bert.userId });
    session.clock.advance(1_000);
    expect(await anna.calls.requestFriend({ userId: bert.userId })).toEqual(asked);
    const accepted = await bert.calls.acceptFriend({ userId: anna.userId });
    session.clock.advance(1_000);
    expect(await bert.calls.acceptFriend({ userId: anna.userId })).toEqual(accepted);
    const again = await anna.calls.requestFriend({ userId: bert.userId });
    expect(again.friend).toMatchObject({ state: FRIENDS, changeTime: accepted.friend!.changeTime });
  });

  it("[A2] who declines is not told on, and may ask later", async () => {
    await anna.calls.requestFriend({ userId: bert.userId });
    await bert.calls.declineFriend({ userId: anna.userId });
    expect(await statesOf(bert)).toEqual({});
    expect(await statesOf(anna)).toEqual({ [bert.userId]: REQUESTED });
    await anna.calls.requestFriend({ userId: bert.userId });
    expect(await statesOf(bert)).toEqual({});

    const { friend } = await bert.calls.requestFriend({ userId: anna.userId });
    expect(friend).toMatchObject({ state: FRIENDS });
    expect(await statesOf(anna)).toEqual({ [bert.userId]: FRIENDS });
  });

  it("[A2] removing ends a friendship on both sides, and withdraws a request", async () => {
    await befriend(anna, bert);
    await bert.calls.removeFriend({ userId: anna.userId });
    expect([await statesOf(anna), await statesOf(bert)]).toEqual([{}, {}]);

    await anna.calls.requestFriend({ userId: bert.userId });
    await anna.calls.removeFriend({ userId: bert.userId });
    await anna.calls.removeFriend({ userId: bert.userId });
    expect([await statesOf(anna), await statesOf(bert)]).toEqual([{}, {}]);
  });

  it("[A2] removing leaves another's request alone", async () => {
    await anna.calls.requestFriend({ userId: bert.userId });
    await bert.calls.removeFriend({ userId: anna.userId });
    expect(await statesOf(bert)).toEqual({ [anna.userId]: INVITED });
  });

  it("[A2] friends who remove each other at once, and one who asks meanwhile, all get an answer", async () => {
    await befriend(anna, bert);
    await Promise.all([
      anna.calls.removeFriend({ userId: bert.userId }),
      bert.calls.removeFriend({ userId: anna.userId }),
      anna.calls.requestFriend({ userId: bert.userId }),
    ]);
    const [ofAnna, ofBert] = [await statesOf(anna), await statesOf(bert)];
    expect(Object.keys(ofAnna)).toHaveLength(Object.keys(ofBert).length);
  });

  it("[A2] there must be a request to accept or to decline", async () => {
    await anna.calls.requestFriend({ userId: bert.userId });
    const notFound = { reason: "FRIEND_REQUEST_NOT_FOUND" };
    const { userId } = bert;
    await expect(anna.calls.acceptFriend({ userId })).rejects.toMatchObject(notFound);
    await expect(anna.calls.declineFriend({ userId })).rejects.toMatchObject(notFound);
    const unknown = { userId: "unknown000000000" };
    await expect(anna.calls.acceptFriend(unknown)).rejects.toMatchObject(notFound);
    await expect(anna.calls.declineFriend(unknown)).rejects.toMatchObject(notFound);
    await anna.calls.removeFriend(unknown);
  });

  it("[A2] oneself and what is no user can't be asked", async () => {
    await expect(anna.calls.requestFriend({ userId: anna.userId })).rejects.toMatchObject({
      reason: "FIELD_INVALID",
      message: `user_id: ${anna.userId} is the caller`,
    });
    await expect(anna.calls.requestFriend({ userId: "x\0" })).rejects.toMatchObject({
      reason: "FIELD_INVALID",
    });
    await expect(anna.calls.requestFriend({ userId: "unknown000000000" })).rejects.toMatchObject({
      reason: "USER_NOT_FOUND",
    });
  });

  it("[A2] a deleted account is nobody's friend", async () => {
    await befriend(anna, bert);
    await bert.calls.deleteAccount({ password: "correct horse" });
    expect(await statesOf(anna)).toEqual({});
  });

  it("[A2] 5,000 friends and requests are the most, asked or accepted", async () => {
    await fill(anna, FRIENDS, 4_999);
    await anna.calls.requestFriend({ userId: bert.userId });
    const carl = await session.someone();
    const tooMany = { reason: "TOO_MANY_FRIENDS" };
    const { userId } = carl;
    await expect(anna.calls.requestFriend({ userId })).rejects.toMatchObject(tooMany);
    await carl.calls.requestFriend({ userId: anna.userId });
    await expect(anna.calls.acceptFriend({ userId })).rejects.toMatchObject(tooMany);
    await expect(anna.calls.requestFriend({ userId })).rejects.toMatchObject(tooMany);

    await bert.calls.acceptFriend({ userId: anna.userId });
    await anna.calls.removeFriend({ userId: bert.userId });
    await anna.calls.acceptFriend({ userId });
  });

  it("[A2] nobody collects more than 5,000 unanswered requests", async () => {
    await fill(anna, INVITED, 5_000);
    await expect(bert.calls.requestFriend({ userId: anna.userId })).rejects.toMatchObject({
      reason: "TOO_MANY_FRIENDS",
    });
    await anna.calls.requestFriend({ userId: bert.userId });
    await bert.calls.requestFriend({ userId: anna.userId });
    expect(await statesOf(bert)).toEqual({ [anna.userId]: FRIENDS });
  });

  describe("ListFriends", () => {
    it("[A2] pages have everybody once, in the order of ids", async () => {
      const others = await Promise.all(Array.from({ length: 7 }, () => session.someone()));
      for (const other of others) await anna.calls.requestFriend({ userId: other.userId });
      const listed: string[] = [];
      const sizes: number[] = [];
      let pageToken = "";
      do {
        const page = await anna.calls.listFriends({ pageSize: 3, pageToken });
        listed.push(...page.friends.map((friend) => friend.user!.userId));
        sizes.push(page.friends.length);
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      expect(listed).toEqual(others.map((other) => other.userId).sort());
      expect(sizes).toEqual([3, 3, 1]);
    });

    it("[A2] a page that ends with the last friend has no next one", async () => {
      await anna.calls.requestFriend({ userId: bert.userId });
      expect(await anna.calls.listFriends({ pageSize: 1 })).toMatchObject({ nextPageToken: "" });
    });

    it("[A2] the page size is 100 by default and 1,000 at most", async () => {
      await fill(anna, INVITED, 1_200);
      expect((await anna.calls.listFriends({})).friends).toHaveLength(100);
      expect((await anna.calls.listFriends({ pageSize: 5_000 })).friends).toHaveLength(1_000);
    });

    it("[A2] only those of one state, where one is asked for", async () => {
      const carl = await session.someone();
      await befriend(anna, bert);
      await anna.calls.requestFriend({ userId: carl.userId });
      const listed = async (state: FriendState) =>
        (await anna.calls.listFriends({ state })).friends.map((friend) => friend.user!.userId);
      expect(await listed(FRIENDS)).toEqual([bert.userId]);
      expect(await listed(REQUESTED)).toEqual([carl.userId]);
      expect(await listed(INVITED)).toEqual([]);
    });

    it("[A2] refuses a negative size, a token that is none, and an unknown state", async () => {
      const bad = [{ pageSize: -1 }, { pageToken: "x" }, { state: 9 as FriendState }];
      for (const request of bad) {
        await expect(anna.calls.listFriends(request)).rejects.toMatchObject({
          reason: "FIELD_INVALID",
        });
      }
    });
  });

  describe("ListFriendIds", () => {
    it("[P3] lists friends alone, with who may see the user", async () => {
      const carl = await session.someone();
      await befriend(anna, bert);
      await carl.calls.requestFriend({ userId: anna.userId });
      const settings = { presenceAudience: Audience.FRIENDS, pushPreviews: true };
      await anna.calls.updateSettings({ settings });
      const userIds = [carl.userId, anna.userId];
      const { friends } = await session.as().listFriendIds({ userIds });
      const { FRIENDS: presenceAudience, EVERYBODY } = Audience;
      expect(new Map(friends!.map((each) => [each.userId, each]))).toMatchObject(
        new Map<string, object>([
          [anna.userId, { friendIds: [bert.userId], presenceAudience }],
          [carl.userId, { friendIds: [], presenceAudience: EVERYBODY }],
        ]),
      );
    });

    it("[P3] leaves out who is unknown, and what is no id", async () => {
      const userIds = ["unknown000000000", "no id\0", "\ud800", bert.userId];
      const { friends } = await session.as().listFriendIds({ userIds });
      expect(friends).toMatchObject([{ userId: bert.userId }]);
    });

    it.each([0, 21])("refuses to list those of %d users", async (count) => {
      const userIds = Array.from({ length: count }, () => anna.userId);
      await expect(session.as().listFriendIds({ userIds })).rejects.toMatchObject({
        reason: "FIELD_INVALID",
      });
    });
  });
});
