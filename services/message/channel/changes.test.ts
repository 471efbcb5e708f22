import { describe, expect, it } from "vitest";
import { ChannelKind, MemberRole } from "../../../gen/parley/message/v1/message_pb.js";
import { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { MessageFixture, type MessageInstance } from "../message-fixture.ts";

const { method } = MessageService;

/** A public group of ann (its owner), ben and cem. */
async function setUp(settings: { public?: boolean; userIds?: string[] } = {}) {
  const fixture = new MessageFixture();
  const instance = fixture.instance();
  const { channel } = await instance.call("ann", method.createGroup, {
    clientMessageId: fixture.clientId(),
    name: "group",
    userIds: ["ben", "cem"],
    public: true,
    ...settings,
  });
  const { channelId } = channel!;
  const change = (
    userId: string,
    rpc: "addMembers" | "removeMember" | "joinGroup" | "leaveGroup",
    rest = {},
  ) =>
    instance.call(userId, method[rpc], { channelId, clientMessageId: fixture.clientId(), ...rest });
  const send = (userId: string) =>
    instance.call(userId, method.sendMessage, {
      channelId,
      clientMessageId: fixture.clientId(),
      text: "x",
    });
  const members = async (userId = "ann") => {
    const page = await instance.call(userId, method.listMembers, { channelId });
    return page.members.map((member) => `${member.userId} ${MemberRole[member.role]}`);
  };
  return { fixture, instance, channelId, change, send, members };
}

const refused = (reason: string) => expect.objectContaining({ reason });
const names = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => `u${from + n}`);

describe("a channel of two", () => {
  it("is the same whoever opens it, and however often", async () => {
    const fixture = new MessageFixture();
    const [one, two] = [fixture.instance(), fixture.instance()];
    const first = await one.call("ann", method.createDirectChannel, { userId: "ben" });
    const second = await two.call("ben", method.createDirectChannel, { userId: "ann" });
    expect(second).toEqual(first);
    expect(first.channel).toMatchObject({
      kind: ChannelKind.DIRECT,
      memberCount: 2,
      lastChannelSequence: 1,
    });
    expect(await fixture.entriesOf("d-ann-ben")).toHaveLength(1);
  });

  it("is not opened with oneself, nor with nobody", async () => {
    const instance = new MessageFixture().instance();
    const open = (userId: string) => instance.call("ann", method.createDirectChannel, { userId });
    await expect(open("ann")).rejects.toEqual(refused("FIELD_INVALID"));
    await expect(open("nobody")).rejects.toEqual(refused("USER_NOT_FOUND"));
  });

  it("can't be joined, left, or given more members", async () => {
    const fixture = new MessageFixture();
    const instance = fixture.instance();
    await instance.call("ann", method.createDirectChannel, { userId: "ben" });
    const request = { channelId: "d-ann-ben", clientMessageId: fixture.clientId() };
    await expect(instance.call("ann", method.leaveGroup, request)).rejects.toEqual(
      refused("NOT_A_GROUP"),
    );
    await expect(instance.call("cem", method.joinGroup, request)).rejects.toEqual(
      refused("NOT_PUBLIC"),
    );
    await expect(
      instance.call("ann", method.addMembers, { ...request, userIds: ["cem"] }),
    ).rejects.toEqual(refused("NOT_A_GROUP"));
  });
});

describe("a group", () => {
  it("[G1] is owned by who creates it; a repeated request creates nothing more", async () => {
    const fixture = new MessageFixture();
    const request = {
      clientMessageId: fixture.clientId(),
      name: "group",
      userIds: ["ben", "ben", "ann"],
    };
    const first = await fixture.instance().call("ann", method.createGroup, request);
    const again = await fixture.instance().call("ann", method.createGroup, request);
    expect(again.channel).toEqual(first.channel);
    expect(first.channel).toMatchObject({ creatorId: "ann", memberCount: 2, name: "group" });
    const other = await fixture.instance().call("ben", method.createGroup, request);
    expect(other.channel!.channelId).not.toBe(first.channel!.channelId);
  });

  it("[G1] is created with a client id that is used for it alone", async () => {
    const { fixture, instance } = await setUp();
    const clientMessageId = fixture.clientId(30 * 24 * 3_600_000);
    const create = instance.call("ann", method.createGroup, { clientMessageId, name: "group" });
    await expect(create).rejects.toEqual(refused("CLIENT_MESSAGE_ID_INVALID"));
  });

  it("[G1] is joined by anybody where it is public, by nobody where it is not", async () => {
    const open = await setUp();
    await open.change("dan", "joinGroup");
    await open.change("dan", "joinGroup");
    expect(await open.members()).toContain("dan MEMBER");
    const closed = await setUp({ public: false });
    await expect(closed.change("dan", "joinGroup")).rejects.toEqual(refused("NOT_PUBLIC"));
    const channelId = "g-00000000000000000000";
    await expect(closed.change("dan", "joinGroup", { channelId })).rejects.toEqual(
      refused("NOT_PUBLIC"),
    );
  });

  it("[G1] gets members from its owner alone, as long as it has no admins", async () => {
    const { change, members } = await setUp();
    await expect(change("ben", "addMembers", { userIds: ["dan"] })).rejects.toEqual(
      refused("ROLE_INSUFFICIENT"),
    );
    await expect(change("eve", "addMembers", { userIds: ["eve"] })).rejects.toEqual(
      refused("NOT_A_MEMBER"),
    );
    await expect(change("ann", "addMembers", { userIds: ["dan", "nobody"] })).rejects.toEqual(
      refused("USER_NOT_FOUND"),
    );
    await change("ann", "addMembers", { userIds: ["dan", "ben", "dan"] });
    expect(await members()).toEqual(["ann OWNER", "ben MEMBER", "cem MEMBER", "dan MEMBER"]);
  });

  it("[G1] [G4] loses who is removed: the owner may, members may not", async () => {
    const { change, send, members } = await setUp();
    await expect(change("ben", "removeMember", { userId: "cem" })).rejects.toEqual(
      refused("ROLE_INSUFFICIENT"),
    );
    await expect(change("ann", "removeMember", { userId: "ann" })).rejects.toEqual(
      refused("FIELD_INVALID"),
    );
    await expect(change("ann", "removeMember", { userId: "eve" })).rejects.toEqual(
      refused("MEMBER_NOT_FOUND"),
    );
    await change("ann", "removeMember", { userId: "ben" });
    expect(await members()).toEqual(["ann OWNER", "cem MEMBER"]);
    await expect(send("ben")).rejects.toEqual(refused("NOT_A_MEMBER"));
    await expect(members("ben")).rejects.toEqual(refused("NOT_A_MEMBER"));
  });

  it("[G1] passes to the member of the longest standing when its owner leaves", async () => {
    const { change, members } = await setUp();
    await change("ann", "leaveGroup");
    expect(await members("ben")).toEqual(["ben OWNER", "cem MEMBER"]);
    await change("ann", "joinGroup");
    await change("ben", "leaveGroup");
    expect(await members("cem")).toEqual(["ann MEMBER", "cem OWNER"]);
    await change("cem", "leaveGroup");
    await change("ann", "leaveGroup");
    await change("dan", "joinGroup");
    expect(await members("dan")).toEqual(["dan OWNER"]);
    await change("dan", "leaveGroup");
    await expect(members("ann")).rejects.toEqual(refused("NOT_A_MEMBER"));
  });

  it("[G2] begins with at most 100 members", async () => {
    const { instance, fixture, change, members } = await setUp({ userIds: names(1, 99) });
    await change("ann", "addMembers", { userIds: ["u99"] });
    expect(await members()).toHaveLength(100);
    await change("u99", "joinGroup");
    const create = (userIds: string[]) =>
      instance.call("ann", method.createGroup, {
        clientMessageId: fixture.clientId(),
        name: "g",
        userIds,
      });
    await expect(create(names(1, 101))).rejects.toEqual(refused("FIELD_INVALID"));
    expect((await create(names(1, 100))).channel!.memberCount).toBe(100);
  });

  it("[G1] lists its members in pages, ordered", async () => {
    const { instance, channelId } = await setUp({ userIds: names(10, 30) });
    const listed: string[] = [];
    for (let pageToken = "", first = true; first || pageToken !== ""; first = false) {
      const request = { channelId, pageSize: 6, pageToken };
      const page = await instance.call("u11", method.listMembers, request);
      expect(page.members.length).toBeLessThanOrEqual(6);
      listed.push(...page.members.map(({ userId }) => userId));
      pageToken = page.nextPageToken;
    }
    expect(listed).toEqual(["ann", ...names(10, 30)]);
  });
});

describe("a user's channels", () => {
  /** The pages of a user's channels, until the end. */
  async function listed(instance: MessageInstance, userId: string, pageSize = 0) {
    const ids: string[] = [];
    for (let pageToken = "", first = true; first || pageToken !== ""; first = false) {
      const page = await instance.call(userId, method.listChannels, { pageSize, pageToken });
      ids.push(...page.channels.map(({ channelId }) => channelId));
      pageToken = page.nextPageToken;
    }
    return ids;
  }

  it("[G1] are listed in pages, without those that the user has left", async () => {
    const { fixture, instance, channelId, change } = await setUp();
    for (const userId of ["ben", "cem", "dan"]) {
      await instance.call("ann", method.createDirectChannel, { userId });
    }
    await fixture.work();
    const direct = ["d-ann-ben", "d-ann-cem", "d-ann-dan"];
    expect(await listed(instance, "ann", 2)).toEqual([...direct, channelId]);
    await change("ann", "leaveGroup");
    await fixture.work();
    expect(await listed(instance, "ann", 2)).toEqual(direct);
    expect(await listed(instance, "eve")).toEqual([]);
  });

  it("are listed as soon as they are announced, before they are in the store", async () => {
    const { fixture, instance, channelId } = await setUp();
    await fixture.store.apply({
      messages: [],
      channels: [],
      memberships: [
        {
          ...{ channelId, userId: "ann", role: MemberRole.OWNER, joinTimeMs: 0 },
          ...{ joinedSequence: 1, leftSequence: 0, sequence: 1 },
        },
      ],
    });
    expect(await listed(instance, "ann")).toEqual([channelId]);
  });

  it("[R2] can't be listed while the store is away: UNAVAILABLE, with a pause to keep", async () => {
    const { fixture, instance } = await setUp();
    fixture.storeFaults.chances = { readFails: 1 };
    await expect(listed(instance, "ann")).rejects.toMatchObject({
      reason: "UNAVAILABLE",
      details: { retryAfterMs: 500 },
    });
  });

  it("are refused for a page token of something else", async () => {
    const { instance } = await setUp();
    const pageToken = Buffer.from("no token").toString("base64url");
    const list = instance.call("ann", method.listChannels, { pageToken });
    await expect(list).rejects.toEqual(refused("FIELD_INVALID"));
  });
});
