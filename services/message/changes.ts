/** The changes that requests ask for: what each needs, who may, and what it appends. */
import { createHash } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  MembershipChange_Kind as ChangeKind,
  type Channel,
  ChannelKind,
  ChannelSchema,
  DeliveryMode,
  MemberRole,
  MembershipChangeSchema,
} from "../../gen/parley/message/v1/message_pb.js";
import { fieldInvalid } from "../../mesh/errors.ts";
import type { Body, Decision } from "./channel-change.ts";
import { type ChannelState, successor } from "./channel-state.ts";
import { notAMember, refuse } from "./message-codes.ts";

/** Decides a change against the channel as it is; see Change.decide. */
export type Decide = (state: ChannelState | undefined) => Decision | undefined;

/** Members of a COPY channel (requirement G2). */
export const copyMembersMax = 100;

/** The id of the channel of two users, whoever opens it. */
export function directChannelId(userId: string, otherId: string): string {
  return userId < otherId ? `d-${userId}-${otherId}` : `d-${otherId}-${userId}`;
}

/** The id of the group that this request creates, at every try the same. */
export function groupChannelId(creatorId: string, clientMessageId: string): string {
  const digest = createHash("sha256").update(`${creatorId}/${clientMessageId}`).digest();
  const number = BigInt(`0x${digest.subarray(0, 13).toString("hex")}`);
  return `g-${number.toString(36).padStart(20, "0").slice(-20)}`;
}

/** A member sends a text. */
export function sendText(channelId: string, senderId: string, text: string): Decide {
  return (state) => {
    memberOf(state, channelId, senderId);
    return { body: { case: "text", value: text } };
  };
}

/** Opens the channel of two users; both are in it from the first item on. */
export function createDirect(
  channelId: string,
  userId: string,
  otherId: string,
  nowMs: number,
): Decide {
  return (state) => {
    if (state) return undefined;
    const kind = ChannelKind.DIRECT;
    const newChannel = channel(
      { channelId, kind, creatorId: userId, historyBeforeJoining: true },
      nowMs,
    );
    return { body: membership(ChangeKind.CREATED, [userId, otherId]), newChannel };
  };
}

/** What a new group is like. */
export interface GroupSettings {
  name: string;
  public: boolean;
  historyBeforeJoining: boolean;
}

/** Creates a group with its first members; the creator owns it. */
export function createGroup(
  channelId: string,
  creatorId: string,
  settings: GroupSettings,
  otherIds: readonly string[],
  nowMs: number,
): Decide {
  const userIds = [...new Set([creatorId, ...otherIds])];
  return (state) => {
    if (state) throw refuse("CLIENT_MESSAGE_ID_REUSED", `${channelId} exists already`);
    if (userIds.length > copyMembersMax) throw groupFull(channelId, userIds.length);
    const newChannel = channel(
      { channelId, kind: ChannelKind.GROUP, creatorId, ...settings },
      nowMs,
    );
    return { body: membership(ChangeKind.CREATED, userIds), newChannel };
  };
}

/** The owner or an admin adds users. */
export function addMembers(channelId: string, actorId: string, userIds: readonly string[]): Decide {
  return (state) => {
    const { group } = groupMember(state, channelId, actorId, MemberRole.ADMIN);
    const added = [...new Set(userIds)].filter((userId) => !group.members.has(userId));
    if (added.length === 0) return undefined;
    const size = group.members.size + added.length;
    if (size > copyMembersMax) throw groupFull(channelId, size);
    return { body: membership(ChangeKind.ADDED, added) };
  };
}

/** The owner removes anybody else, an admin members. */
export function removeMember(channelId: string, actorId: string, userId: string): Decide {
  return (state) => {
    const { group, role } = groupMember(state, channelId, actorId, MemberRole.ADMIN);
    if (userId === actorId) throw fieldInvalid("user_id", "is the caller; leave instead");
    const member = group.members.get(userId);
    if (!member) throw refuse("MEMBER_NOT_FOUND", `${userId} is not a member of ${channelId}`);
    if (member.role >= role) {
      throw refuse("ROLE_INSUFFICIENT", `removing this member of ${channelId} takes a higher role`);
    }
    return { body: membership(ChangeKind.REMOVED, [userId]) };
  };
}

/** Anybody joins a public group. Who joins one that all have left owns it. */
export function joinGroup(channelId: string, userId: string): Decide {
  return (state) => {
    if (state?.members.has(userId)) return undefined;
    if (!state?.channel.public) throw refuse("NOT_PUBLIC", `${channelId} is no public group`);
    const size = state.members.size + 1;
    if (size > copyMembersMax) throw groupFull(channelId, size);
    const newOwnerId = state.members.size === 0 ? userId : "";
    return { body: membership(ChangeKind.JOINED, [userId], newOwnerId) };
  };
}

/** A member leaves; when it is the owner, another follows. */
export function leaveGroup(channelId: string, userId: string): Decide {
  return (state) => {
    const { group, role } = groupMember(state, channelId, userId, MemberRole.MEMBER);
    const newOwnerId = role === MemberRole.OWNER ? successor(group, userId) : "";
    return { body: membership(ChangeKind.LEFT, [userId], newOwnerId) };
  };
}

function memberOf(state: ChannelState | undefined, channelId: string, userId: string) {
  const member = state?.members.get(userId);
  if (!state || !member) throw notAMember(channelId);
  return { state, member };
}

function groupMember(
  state: ChannelState | undefined,
  channelId: string,
  userId: string,
  roleMin: MemberRole,
) {
  const { state: group, member } = memberOf(state, channelId, userId);
  if (group.channel.kind !== ChannelKind.GROUP) {
    throw refuse("NOT_A_GROUP", `${channelId} is the channel of two users`);
  }
  if (member.role < roleMin) {
    throw refuse("ROLE_INSUFFICIENT", `in ${channelId} this takes the role ${MemberRole[roleMin]}`);
  }
  return { group, role: member.role };
}

function channel(
  fields: Omit<MessageInitShape<typeof ChannelSchema>, "$typeName">,
  nowMs: number,
): Channel {
  const createTime = timestampFromMs(nowMs);
  return create(ChannelSchema, { ...fields, mode: DeliveryMode.COPY, createTime });
}

function membership(kind: ChangeKind, userIds: string[], newOwnerId = ""): Body {
  const value = create(MembershipChangeSchema, { kind, userIds, newOwnerId });
  return { case: "membershipChange", value };
}

function groupFull(channelId: string, size: number) {
  return refuse(
    "GROUP_FULL",
    `${channelId} would have ${size} members; the limit is ${copyMembersMax}`,
  );
}
