/** A channel with somebody of every standing, and what each operation of the table is as a call. */
import type { Client } from "@connectrpc/connect";
import { expect } from "vitest";
import {
  errorReason,
  MemberRole,
  type MessageService,
  SessionService,
} from "../../edge/sdk/index.ts";
import type { Condition, Operation, Standing } from "../../services/message/channel/permissions.ts";
import type { Device } from "./device.ts";

/** Message's methods, some way or other. */
export type Calls = Client<typeof MessageService>;

/** The users of all scenes: one of each standing in groups, and those that things are done to. */
export type Cast = Record<Exclude<Standing, "DIRECT" | "DELETED">, Device> & {
  otherMember: Device;
  otherAdmin: Device;
  /** Is in no group. */
  other: Device;
};

/** A channel to try something in. */
export interface Scene {
  channelId: string;
  inviteToken: string;
  inviteLinkId: number;
  /** Of each user a text that it sent while it was in the channel. */
  texts: ReadonlyMap<Device, bigint>;
  cast: Cast;
}

/** A new group, in which a condition holds or doesn't. */
export async function groupScene(cast: Cast, condition?: Condition, holds = false): Promise<Scene> {
  const { OWNER: owner, ADMIN, MEMBER, FORMER, BANNED, otherMember, otherAdmin } = cast;
  const setting = condition && condition !== "linkIsUsable" ? { [condition]: holds } : {};
  const members = [ADMIN, MEMBER, FORMER, BANNED, otherMember, otherAdmin];
  const { channel } = await owner.calls.createGroup({
    name: "group",
    clientMessageId: owner.client.newClientMessageId(),
    userIds: members.map(({ userId }) => userId),
    ...setting,
  });
  const { channelId } = channel!;
  const texts = await sendTexts(channelId, [owner, ADMIN, MEMBER, FORMER, BANNED]);
  const change = () => ({ channelId, clientMessageId: owner.client.newClientMessageId() });
  const role = MemberRole.ADMIN;
  const [{ inviteToken, inviteLink }] = await Promise.all([
    owner.calls.createInviteLink(change()),
    owner.calls.setMemberRole({ ...change(), userId: ADMIN.userId, role }),
    owner.calls.setMemberRole({ ...change(), userId: otherAdmin.userId, role }),
    owner.calls.removeMember({ ...change(), userId: FORMER.userId }),
    owner.calls.banUser({ ...change(), userId: BANNED.userId }),
  ]);
  const isBroken = condition === "linkIsUsable" && !holds;
  return {
    channelId,
    inviteToken: isBroken ? "not-a-token" : inviteToken,
    inviteLinkId: inviteLink!.inviteLinkId,
    texts,
    cast,
  };
}

/** A new group that its owner has deleted. */
export async function deletedScene(cast: Cast): Promise<Scene> {
  const scene = await groupScene(cast);
  const { client, calls } = cast.OWNER;
  const { channelId } = scene;
  await calls.deleteChannel({ channelId, clientMessageId: client.newClientMessageId() });
  return scene;
}

/** The channel of two users, the second of whom may have blocked the first. */
export async function directScene(cast: Cast, isBlocked = false): Promise<Scene> {
  const [first, second] = [cast.OWNER, isBlocked ? cast.other : cast.MEMBER];
  const channelId = await first.openDirect(second);
  const texts = await sendTexts(channelId, [first, second]);
  if (isBlocked) {
    await second.http(SessionService).blockUser({ userId: first.userId });
    const typing = () => first.calls.sendTyping({ channelId }).then(() => "ALLOWED", errorReason);
    await expect.poll(typing).toBe("BLOCKED");
  }
  return { channelId, inviteToken: "not-a-token", inviteLinkId: 1, texts, cast };
}

async function sendTexts(channelId: string, senders: Device[]): Promise<Map<Device, bigint>> {
  const send = async (sender: Device) => [sender, await sender.say(channelId, "hello")] as const;
  return new Map(await Promise.all(senders.map(send)));
}

/** A text of the caller's where it has sent one, and one of somebody else's. */
function textIds({ texts, cast }: Scene, caller: Device) {
  const owners = texts.get(cast.OWNER)!;
  const members = texts.get(cast.MEMBER) ?? texts.get(cast.other)!;
  return { own: texts.get(caller) ?? owners, anothers: caller === cast.OWNER ? members : owners };
}

/** Each operation as a call; `change` is what every change carries. */
export const attempts: Record<
  Operation,
  (
    calls: Calls,
    change: { channelId: string; clientMessageId: string },
    scene: Scene,
    caller: Device,
  ) => Promise<unknown>
> = {
  SEND: (calls, change) => calls.sendMessage({ ...change, text: "hello" }),
  EDIT_OWN: (calls, change, scene, caller) =>
    calls.editMessage({ ...change, messageId: textIds(scene, caller).own, text: "hi" }),
  EDIT_ANOTHERS: (calls, change, scene, caller) =>
    calls.editMessage({ ...change, messageId: textIds(scene, caller).anothers, text: "hi" }),
  DELETE_OWN: (calls, change, scene, caller) =>
    calls.deleteMessage({ ...change, messageId: textIds(scene, caller).own }),
  DELETE_ANOTHERS: (calls, change, scene, caller) =>
    calls.deleteMessage({ ...change, messageId: textIds(scene, caller).anothers }),
  REACT: (calls, change, scene, caller) =>
    calls.addReaction({ ...change, messageId: textIds(scene, caller).anothers, emoji: "👍" }),
  READ_HISTORY: (calls, { channelId }) => calls.listMessages({ channelId }),
  LIST_REVISED: (calls, { channelId }) => calls.listRevisedMessages({ channelId }),
  LIST_REACTIONS: (calls, { channelId }, scene, caller) =>
    calls.listReactions({ channelId, messageId: textIds(scene, caller).own }),
  SEARCH: (calls, { channelId }) => calls.searchMessages({ channelId, query: "hello" }),
  READ_CHANNEL: (calls, { channelId }) => calls.getChannel({ channelId }),
  LIST_MEMBERS: (calls, { channelId }) => calls.listMembers({ channelId }),
  TYPE: (calls, { channelId }) => calls.sendTyping({ channelId }),
  MARK_READ: (calls, { channelId }, scene, caller) =>
    calls.markRead({ channelId, messageId: textIds(scene, caller).own }),
  LIST_CURSORS: (calls, { channelId }) => calls.listCursors({ channelId }),
  ADD: (calls, change, { cast }) => calls.addMembers({ ...change, userIds: [cast.NONE.userId] }),
  REMOVE_MEMBER: (calls, change, { cast }) =>
    calls.removeMember({ ...change, userId: cast.otherMember.userId }),
  REMOVE_ADMIN: (calls, change, { cast }) =>
    calls.removeMember({ ...change, userId: cast.otherAdmin.userId }),
  BAN: (calls, change, { cast }) => calls.banUser({ ...change, userId: cast.otherMember.userId }),
  BAN_ADMIN: (calls, change, { cast }) =>
    calls.banUser({ ...change, userId: cast.otherAdmin.userId }),
  UNBAN: (calls, change, { cast }) => calls.unbanUser({ ...change, userId: cast.BANNED.userId }),
  LIST_BANS: (calls, { channelId }) => calls.listBans({ channelId }),
  SET_ROLE: (calls, change, { cast }) =>
    calls.setMemberRole({
      ...change,
      userId: cast.otherMember.userId,
      role: MemberRole.ADMIN,
    }),
  TRANSFER: (calls, change, { cast }) =>
    calls.transferOwnership({ ...change, userId: cast.otherMember.userId }),
  RENAME: (calls, change) => calls.renameGroup({ ...change, name: "another" }),
  CHANGE_SETTINGS: (calls, change) =>
    calls.changeGroupSettings({ ...change, historyBeforeJoining: true }),
  CREATE_LINK: (calls, change) => calls.createInviteLink(change),
  REVOKE_LINK: (calls, change, { inviteLinkId }) =>
    calls.revokeInviteLink({ ...change, inviteLinkId }),
  LIST_LINKS: (calls, { channelId }) => calls.listInviteLinks({ channelId }),
  JOIN: (calls, change) => calls.joinGroup(change),
  JOIN_BY_LINK: (calls, change, { inviteToken }) => calls.joinGroup({ ...change, inviteToken }),
  LEAVE: (calls, change) => calls.leaveGroup(change),
  DELETE_CHANNEL: (calls, change) => calls.deleteChannel(change),
};
