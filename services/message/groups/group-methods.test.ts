/** Keeping a group: bans, roles, name, settings and invite links, as members and others see them. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import {
  MembershipChange_Kind as ChangeKind,
  MemberRole,
  MessageKind,
} from "../../../gen/parley/message/v1/message_pb.js";
import { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { MessageFixture } from "../message-fixture.ts";

const { method } = MessageService;

type GroupChange =
  | "addMembers"
  | "removeMember"
  | "joinGroup"
  | "leaveGroup"
  | "banUser"
  | "unbanUser"
  | "setMemberRole"
  | "transferOwnership"
  | "renameGroup"
  | "changeGroupSettings"
  | "createInviteLink"
  | "revokeInviteLink";

/** A group of ann (its owner), ben and cem that nobody can join by its id. */
async function setUp() {
  const fixture = new MessageFixture();
  let instance = fixture.instance();
  const { channel } = await instance.call("ann", method.createGroup, {
    clientMessageId: fixture.clientId(),
    name: "group",
    userIds: ["ben", "cem"],
  });
  const { channelId } = channel!;
  const change = <Name extends GroupChange>(userId: string, rpc: Name, rest = {}) =>
    instance.call(userId, method[rpc], {
      ...{ channelId, clientMessageId: fixture.clientId(), ...rest },
    } as MessageInitShape<(typeof method)[Name]["input"]>);
  return {
    fixture,
    channelId,
    change,
    call: ((...args) => instance.call(...args)) as typeof instance.call,
    /** From now on another instance is called, which knows nothing yet. */
    elsewhere() {
      instance = fixture.instance();
    },
    /** Everything gets into the store and out of the log. */
    async forget() {
      await fixture.work();
      await fixture.pass(8 * 24 * 3_600_000);
      await fixture.work();
      expect(await fixture.entriesOf(channelId)).toEqual([]);
      instance = fixture.instance();
    },
    async members(userId = "ann") {
      const page = await instance.call(userId, method.listMembers, { channelId });
      return page.members.map((member) => `${member.userId} ${MemberRole[member.role]}`);
    },
    async bans() {
      const { bans } = await instance.call("ann", method.listBans, { channelId });
      return bans.map(({ userId, bannedById }) => `${userId} by ${bannedById}`);
    },
    async links() {
      return (await instance.call("ann", method.listInviteLinks, { channelId })).inviteLinks;
    },
    async entries() {
      return (await fixture.entriesOf(channelId)).length;
    },
  };
}

const refused = (reason: string) => expect.objectContaining({ reason });

describe("who is banned from a group", () => {
  it("[G1] [G4] is no member any more, and can't join, be added, or use a link, until it is lifted", async () => {
    const { change, members, bans } = await setUp();
    const { inviteToken } = await change("ann", "createInviteLink");
    await change("ann", "banUser", { userId: "ben" });
    expect(await members()).toEqual(["ann OWNER", "cem MEMBER"]);
    expect(await bans()).toEqual(["ben by ann"]);
    await expect(change("ben", "joinGroup", { inviteToken })).rejects.toEqual(refused("BANNED"));
    await expect(change("ann", "addMembers", { userIds: ["dan", "ben"] })).rejects.toEqual(
      refused("USER_BANNED"),
    );
    await change("ann", "unbanUser", { userId: "ben" });
    expect(await bans()).toEqual([]);
    await change("ben", "joinGroup", { inviteToken });
    expect(await members()).toContain("ben MEMBER");
  });

  it("[G1] need not have been a member, and learns nothing of it", async () => {
    const { fixture, channelId, change, bans } = await setUp();
    await change("ann", "banUser", { userId: "dan" });
    await change("ann", "banUser", { userId: "dan" });
    await change("ann", "unbanUser", { userId: "eve" });
    expect(await bans()).toEqual(["dan by ann"]);
    await fixture.work();
    const inbox = await fixture.server.connect().inbox.read("dan", { bytesMax: 1 << 20 });
    expect(inbox.entries).toEqual([]);
    expect(await fixture.store.listStays(channelId, "dan")).toEqual([]);
  });

  it("[G1] stays so in a group that only the store knows any more, as its links do", async () => {
    const { change, bans, links, forget, elsewhere } = await setUp();
    const { inviteToken } = await change("ann", "createInviteLink", { maxUses: 2 });
    await change("ann", "banUser", { userId: "ben" });
    await change("dan", "joinGroup", { inviteToken });
    await forget();
    expect(await bans()).toEqual(["ben by ann"]);
    expect((await links()).map(({ uses }) => uses)).toEqual([1]);
    await expect(change("ben", "joinGroup", { inviteToken })).rejects.toEqual(refused("BANNED"));
    await change("eve", "joinGroup", { inviteToken });
    elsewhere();
    await expect(change("fay", "joinGroup", { inviteToken })).rejects.toEqual(
      refused("INVITE_LINK_INVALID"),
    );
  });

  it("[G1] is one of at most 1,000, listed in pages", async () => {
    const { change, call, channelId } = await setUp();
    const ids = Array.from({ length: 1_000 }, (_, n) => `u${1_000 + n}`);
    for (let at = 0; at < ids.length; at += 100) {
      await Promise.all(
        ids.slice(at, at + 100).map((userId) => change("ann", "banUser", { userId })),
      );
    }
    await expect(change("ann", "banUser", { userId: "eve" })).rejects.toEqual(refused("BANS_FULL"));
    const first = await call("ann", method.listBans, { channelId, pageSize: 600 });
    const pageToken = first.nextPageToken;
    const second = await call("ann", method.listBans, { channelId, pageSize: 600, pageToken });
    expect([...first.bans, ...second.bans].map(({ userId }) => userId)).toEqual(ids);
    expect(second.nextPageToken).toBe("");
  });

  it("[G1] is not oneself, nor the owner", async () => {
    const { change } = await setUp();
    await change("ann", "setMemberRole", { userId: "ben", role: MemberRole.ADMIN });
    const oneself = change("ben", "banUser", { userId: "ben" });
    await expect(oneself).rejects.toEqual(refused("FIELD_INVALID"));
    const owner = change("ben", "banUser", { userId: "ann" });
    await expect(owner).rejects.toEqual(refused("ROLE_INSUFFICIENT"));
  });
});

describe("roles in a group", () => {
  it("[G1] are given by the owner, and hold in the store too", async () => {
    const { change, members, forget } = await setUp();
    await change("ann", "setMemberRole", { userId: "ben", role: MemberRole.ADMIN });
    await change("ann", "setMemberRole", { userId: "ben", role: MemberRole.ADMIN });
    await change("ben", "addMembers", { userIds: ["dan"] });
    await forget();
    expect(await members()).toEqual(["ann OWNER", "ben ADMIN", "cem MEMBER", "dan MEMBER"]);
    await change("ann", "setMemberRole", { userId: "ben", role: MemberRole.MEMBER });
    const adding = change("ben", "addMembers", { userIds: ["eve"] });
    await expect(adding).rejects.toEqual(refused("ROLE_INSUFFICIENT"));
  });

  it("[G1] are not given to oneself, to others than members, nor to a second owner", async () => {
    const { change } = await setUp();
    const set = (userId: string, role: MemberRole) =>
      change("ann", "setMemberRole", { userId, role });
    await expect(set("ann", MemberRole.ADMIN)).rejects.toEqual(refused("FIELD_INVALID"));
    await expect(set("dan", MemberRole.ADMIN)).rejects.toEqual(refused("MEMBER_NOT_FOUND"));
    await expect(set("ben", MemberRole.OWNER)).rejects.toEqual(refused("FIELD_INVALID"));
  });

  it("[G1] change when the owner passes the group on, once for a request that comes again", async () => {
    const { fixture, change, members, forget } = await setUp();
    const request = { userId: "ben", clientMessageId: fixture.clientId() };
    await change("ann", "transferOwnership", request);
    await change("ann", "transferOwnership", request);
    const after = ["ann ADMIN", "ben OWNER", "cem MEMBER"];
    expect(await members()).toEqual(after);
    await forget();
    expect(await members()).toEqual(after);
    const back = change("ann", "transferOwnership", { userId: "ann" });
    await expect(back).rejects.toEqual(refused("ROLE_INSUFFICIENT"));
  });

  it("[G1] pass to the longest-standing admin when the owner leaves", async () => {
    const { change, members } = await setUp();
    await change("ann", "setMemberRole", { userId: "cem", role: MemberRole.ADMIN });
    await change("ann", "leaveGroup");
    expect(await members("ben")).toEqual(["ben MEMBER", "cem OWNER"]);
  });
});

describe("a group's name and settings", () => {
  it("[G1] are items of its log, one for a change and none for what is so already", async () => {
    const { fixture, call, channelId, change, entries, forget } = await setUp();
    const request = { name: "garden", clientMessageId: fixture.clientId() };
    await change("ann", "renameGroup", request);
    await change("ann", "renameGroup", request);
    await change("ann", "renameGroup", { name: "garden" });
    await change("ann", "changeGroupSettings", { public: true, membersMayAdd: true });
    const { channel } = await change("ann", "changeGroupSettings", { public: true });
    expect(channel).toMatchObject({ name: "garden", public: true, membersMayAdd: true });
    expect(await entries()).toBe(3);
    const another = { ...request, name: "park" };
    await expect(change("ann", "renameGroup", another)).rejects.toEqual(
      refused("CLIENT_MESSAGE_ID_REUSED"),
    );
    await forget();
    expect((await call("ben", method.getChannel, { channelId })).channel).toEqual(channel);
    const page = await call("ben", method.listMessages, {
      channelId,
      kind: MessageKind.CHANNEL_CHANGE,
    });
    expect(page.messages.map(({ body }) => body.case)).toEqual(["channelChange", "channelChange"]);
  });
});

describe("a change to a group", () => {
  it("[M5] is refused without a client id, which alone can tell it from its resend", async () => {
    const { change, links } = await setUp();
    const { inviteToken } = await change("ann", "createInviteLink");
    for (const [userId, rpc, rest] of [
      ["ann", "createInviteLink", {}],
      ["ann", "renameGroup", { name: "another" }],
      ["ann", "addMembers", { userIds: ["dan"] }],
      ["dan", "joinGroup", { inviteToken }],
      ["ben", "leaveGroup", {}],
    ] as const) {
      await expect(change(userId, rpc, { ...rest, clientMessageId: "" })).rejects.toEqual(
        refused("CLIENT_MESSAGE_ID_INVALID"),
      );
    }
    expect(await links()).toHaveLength(1);
  });
});

describe("an invite link", () => {
  it("[G1] lets in who has its token, on any instance, and no more than it says", async () => {
    const { change, members, links, elsewhere } = await setUp();
    const { inviteToken, inviteLink } = await change("ann", "createInviteLink", { maxUses: 2 });
    elsewhere();
    await change("dan", "joinGroup", { inviteToken });
    await change("dan", "joinGroup", { inviteToken });
    expect(await links()).toEqual([{ ...inviteLink, uses: 1 }]);
    await change("eve", "joinGroup", { inviteToken });
    const late = change("fay", "joinGroup", { inviteToken });
    await expect(late).rejects.toEqual(refused("INVITE_LINK_INVALID"));
    expect(await members()).toHaveLength(5);
    expect(await links()).toEqual([]);
  });

  it("[G1] ends when it expires, and when it is revoked", async () => {
    const { fixture, change, links } = await setUp();
    const expireTime = timestampFromMs(fixture.clock.nowMs() + 60_000);
    const first = await change("ann", "createInviteLink", { expireTime });
    const second = await change("ann", "createInviteLink");
    await fixture.pass(60_000);
    expect(await links()).toEqual([second.inviteLink]);
    const { inviteLinkId } = second.inviteLink!;
    await change("ann", "revokeInviteLink", { inviteLinkId });
    await change("ann", "revokeInviteLink", { inviteLinkId });
    for (const { inviteToken } of [first, second]) {
      const join = change("dan", "joinGroup", { inviteToken });
      await expect(join).rejects.toEqual(refused("INVITE_LINK_INVALID"));
    }
    const passed = change("ann", "createInviteLink", { expireTime });
    await expect(passed).rejects.toEqual(refused("FIELD_INVALID"));
  });

  it("[G1] [M5] is created once for a request that comes again, with the same token", async () => {
    const { fixture, change, links, elsewhere } = await setUp();
    const request = { clientMessageId: fixture.clientId() };
    const first = await change("ann", "createInviteLink", request);
    elsewhere();
    expect(await change("ann", "createInviteLink", request)).toEqual(first);
    expect(await links()).toHaveLength(1);
    const { inviteLinkId } = first.inviteLink!;
    await change("ann", "revokeInviteLink", { inviteLinkId });
    expect(await change("ann", "createInviteLink", request)).toMatchObject({ inviteToken: "" });
  });

  it("[G1] never has its token in the log, the inboxes or the history", async () => {
    const { fixture, change, channelId, call } = await setUp();
    const { inviteToken } = await change("ann", "createInviteLink");
    await change("dan", "joinGroup", { inviteToken });
    await fixture.work();
    const { log, inbox } = fixture.server.connect();
    const { entries } = await log.read(channelId, { bytesMax: 1 << 20 });
    for (const userId of ["ann", "ben", "dan"]) {
      entries.push(...(await inbox.read(userId, { bytesMax: 1 << 20 })).entries);
    }
    const { messages } = await call("ben", method.listMessages, { channelId });
    const shown = JSON.stringify(messages, (_, value) =>
      typeof value === "bigint" ? `${value}` : value,
    );
    expect(shown).not.toContain(inviteToken);
    for (const { data } of entries) expect(Buffer.from(data).includes(inviteToken)).toBe(false);
  });

  it("[G1] is one of at most 50 that can be used", async () => {
    const { change, links } = await setUp();
    await Promise.all(Array.from({ length: 50 }, () => change("ann", "createInviteLink")));
    const full = refused("INVITE_LINKS_FULL");
    await expect(change("ann", "createInviteLink")).rejects.toEqual(full);
    const { inviteLinkId } = (await links())[0]!;
    await change("ann", "revokeInviteLink", { inviteLinkId });
    await change("ann", "createInviteLink");
  });
});

it("[G4] a change names the stays that it ends or alters, so that nobody needs the list of members", async () => {
  const { fixture, change, channelId } = await setUp();
  await change("ann", "setMemberRole", { userId: "ben", role: MemberRole.ADMIN });
  await change("ann", "removeMember", { userId: "cem" });
  await change("ann", "leaveGroup");
  const changes = (await fixture.entriesOf(channelId)).flatMap(({ items }) =>
    items.flatMap(({ item }) => {
      if (item.case !== "message" || item.value.body.case !== "membershipChange") return [];
      const { kind, members } = item.value.body.value;
      const named = members.map(
        ({ userId, role, joinedSequence }) => `${userId} ${MemberRole[role]} ${joinedSequence}`,
      );
      return [`${ChangeKind[kind]}: ${named}`];
    }),
  );
  expect(changes).toEqual([
    "CREATED: ",
    "ROLE_CHANGED: ben ADMIN 1",
    "REMOVED: cem MEMBER 1",
    "LEFT: ann OWNER 1,ben OWNER 1",
  ]);
});
