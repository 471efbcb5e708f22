/** Changes of who is in a group, who is kept out of it, and who may do what there. */
import { create } from "@bufbuild/protobuf";
import {
  MembershipChange_Kind as ChangeKind,
  type Member,
  MemberRole,
  MemberSchema,
} from "../../../gen/parley/message/v1/message_pb.js";
import { fieldInvalid } from "../../../mesh/errors.ts";
import { bansMax } from "../channel/access-state.ts";
import { type Decide, groupFull, groupMembersMax, membership } from "../channel/changes.ts";
import type { Decision } from "../channel/channel-change.ts";
import type { ChannelState } from "../channel/channel-state.ts";
import { authorise, type Operation } from "../channel/permissions.ts";
import { refuse } from "../message-codes.ts";
import { usableLink } from "./invite-tokens.ts";
import { SuccessorUnknown, successor } from "./succession.ts";

/** Admins of a group: its state and snapshots hold them all, in LIVE channels too. */
export const adminsMax = 100;

/** Adds users. */
export function addMembers(channelId: string, actorId: string, userIds: readonly string[]): Decide {
  return (state) => {
    const group = authorise("ADD", state, channelId, actorId);
    const added = [...new Set(userIds)].filter((userId) => !group.members.has(userId));
    if (added.length === 0) return undefined;
    const banned = added.find((userId) => group.access.bans.has(userId));
    if (banned) throw refuse("USER_BANNED", `${banned} is banned from ${channelId}`);
    checkSize(group, added.length);
    return { body: membership({ kind: ChangeKind.ADDED, userIds: added }) };
  };
}

/** Removes a member. */
export function removeMember(channelId: string, actorId: string, userId: string): Decide {
  return (state) => {
    const group = authorise("REMOVE_MEMBER", state, channelId, actorId);
    checkOther(actorId, userId, "leave instead");
    const member = memberOf(group, userId);
    authoriseOn(member, "REMOVE_ADMIN", group, actorId);
    const members = [member];
    return { body: membership({ kind: ChangeKind.REMOVED, userIds: [userId], members }) };
  };
}

/** Bans a user, who is removed with it if a member. */
export function banUser(channelId: string, actorId: string, userId: string): Decide {
  return (state) => {
    const group = authorise("BAN", state, channelId, actorId);
    checkOther(actorId, userId, "leave instead");
    const { bans } = group.access;
    if (bans.has(userId)) return undefined;
    const member = group.members.get(userId);
    if (member) authoriseOn(member, "BAN_ADMIN", group, actorId);
    if (bans.size >= bansMax) {
      throw refuse("BANS_FULL", `${bansMax} users are banned from ${channelId}, the limit`);
    }
    const members = member ? [member] : [];
    return { body: membership({ kind: ChangeKind.BANNED, userIds: [userId], members }) };
  };
}

/** Lifts a ban. */
export function unbanUser(channelId: string, actorId: string, userId: string): Decide {
  return (state) => {
    const { access } = authorise("UNBAN", state, channelId, actorId);
    if (!access.bans.has(userId)) return undefined;
    return { body: membership({ kind: ChangeKind.UNBANNED, userIds: [userId] }) };
  };
}

/** Makes a member an admin, or the reverse. */
export function setMemberRole(
  channelId: string,
  actorId: string,
  userId: string,
  role: typeof MemberRole.MEMBER | typeof MemberRole.ADMIN,
): Decide {
  return (state) => {
    const group = authorise("SET_ROLE", state, channelId, actorId);
    checkOther(actorId, userId, "pass the group on instead");
    const member = memberOf(group, userId);
    if (member.role === role) return undefined;
    if (role === MemberRole.ADMIN) checkAdmins(group);
    return roleChange(userId, role, [withRole(member, role)]);
  };
}

/** Passes the group on; who owned it is an admin then. */
export function transferOwnership(channelId: string, ownerId: string, userId: string): Decide {
  return (state) => {
    const group = authorise("TRANSFER", state, channelId, ownerId);
    checkOther(ownerId, userId, "owns it already");
    const next = memberOf(group, userId);
    if (next.role !== MemberRole.ADMIN) checkAdmins(group);
    const members = [
      withRole(memberOf(group, ownerId), MemberRole.ADMIN),
      withRole(next, MemberRole.OWNER),
    ];
    return roleChange(ownerId, MemberRole.ADMIN, members, userId);
  };
}

/**
 * Joins a public group, or any by a link's token. Who joins one that all have left owns it.
 * @param now the time when it is decided, in ms since 1970
 */
export function joinGroup(
  channelId: string,
  userId: string,
  token: string,
  now: () => number,
): Decide {
  return (state) => {
    const link = token === "" ? undefined : usableLink(state, token, now());
    const operation = token === "" ? "JOIN" : "JOIN_BY_LINK";
    const circumstances = { linkIsUsable: link !== undefined };
    const group = authorise(operation, state, channelId, userId, circumstances);
    if (group.members.has(userId)) return undefined;
    checkSize(group, 1);
    const newOwnerId = group.channel.memberCount === 0 ? userId : "";
    const inviteLinkId = link?.inviteLinkId ?? 0;
    const kind = ChangeKind.JOINED;
    return { body: membership({ kind, userIds: [userId], newOwnerId, inviteLinkId }) };
  };
}

/**
 * A member leaves; when it is the owner, another follows.
 * @param heirId who follows in a LIVE group without admins: one of the change's `userIds`; else empty
 * @throws SuccessorUnknown when it is decided
 */
export function leaveGroup(channelId: string, userId: string, heirId: string): Decide {
  return (state) => {
    const group = authorise("LEAVE", state, channelId, userId);
    const members = [memberOf(group, userId)];
    const isOwner = members[0]!.role === MemberRole.OWNER;
    const next = isOwner ? successor(group, userId, heirId) : undefined;
    if (isOwner && !next && group.channel.memberCount > 1) {
      throw new SuccessorUnknown(channelId);
    }
    if (next) members.push(withRole(next, MemberRole.OWNER));
    const newOwnerId = next?.userId ?? "";
    return { body: membership({ kind: ChangeKind.LEFT, userIds: [userId], newOwnerId, members }) };
  };
}

/** What is done to a member takes more where that is an admin; nobody does it to the owner. */
function authoriseOn(member: Member, onAdmin: Operation, group: ChannelState, actorId: string) {
  const { channelId } = group.channel;
  if (member.role === MemberRole.ADMIN) authorise(onAdmin, group, channelId, actorId);
  if (member.role === MemberRole.OWNER) {
    throw refuse("ROLE_INSUFFICIENT", `nobody removes the owner of ${channelId}`);
  }
}

function memberOf({ members, channel }: ChannelState, userId: string): Member {
  const member = members.get(userId);
  if (member) return member;
  throw refuse("MEMBER_NOT_FOUND", `${userId} is not a member of ${channel.channelId}`);
}

function roleChange(
  userId: string,
  role: MemberRole,
  members: Member[],
  newOwnerId = "",
): Decision {
  const kind = ChangeKind.ROLE_CHANGED;
  return { body: membership({ kind, userIds: [userId], role, members, newOwnerId }) };
}

function withRole({ userId, joinTime, joinedSequence }: Member, role: MemberRole): Member {
  const member = create(MemberSchema, { userId, role, joinedSequence });
  if (joinTime) member.joinTime = joinTime;
  return member;
}

function checkOther(actorId: string, userId: string, otherwise: string): void {
  if (userId === actorId) throw fieldInvalid("user_id", `is the caller; ${otherwise}`);
}

function checkSize({ channel }: ChannelState, more: number): void {
  const size = channel.memberCount + more;
  if (size > groupMembersMax) throw groupFull(channel.channelId, size);
}

function checkAdmins({ channel, members }: ChannelState): void {
  let admins = 0;
  for (const { role } of members.values()) if (role === MemberRole.ADMIN) admins++;
  if (admins < adminsMax) return;
  throw refuse("ADMINS_FULL", `${channel.channelId} has ${adminsMax} admins, the limit`);
}
