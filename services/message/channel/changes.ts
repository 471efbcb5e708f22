/**
 * The changes that requests ask for: what each needs, who may, and what it appends. Here texts and
 * new channels; member-changes.ts and group-changes.ts have the others.
 */
import { createHash } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  MembershipChange_Kind as ChangeKind,
  type Channel,
  ChannelChangeSchema,
  ChannelKind,
  ChannelSchema,
  DeliveryMode,
  type GroupSettings,
  MembershipChangeSchema,
} from "../../../gen/parley/message/v1/message_pb.js";
import type { DomainError } from "../../../mesh/errors.ts";
import { type MessageReason, refuse } from "../message-codes.ts";
import type { Basis, Body, Decision } from "./channel-change.ts";
import type { ChannelState } from "./channel-state.ts";
import { mentionedMembers } from "./mentions.ts";
import { authorise } from "./permissions.ts";
import { requireTarget } from "./revision-targets.ts";

/** Decides a change against the channel as it is; see Change.decide. */
export type Decide = (state: ChannelState | undefined, basis: Basis) => Decision | undefined;

/** Members of a COPY channel (requirement G2); a group that has more turns LIVE. */
export const copyMembersMax = 100;
/** Members of a group. */
export const groupMembersMax = 1_000_000;

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
export function sendText(
  channelId: string,
  senderId: string,
  text: string,
  replyToMessageId: bigint,
): Decide {
  return (current, basis) => {
    const { target, userIdsByName } = basis;
    const state = authorise("SEND", current, channelId, senderId, basis);
    // While the history can't be read, chat goes on: an old message is taken on trust.
    if (replyToMessageId !== 0n && target !== "unreadable") {
      requireTarget(target, state, senderId, replyToMessageId);
    }
    const mentionedUserIds = mentionedMembers(text, userIdsByName, state);
    return { body: { case: "text", value: text }, mentionedUserIds };
  };
}

/**
 * Opens the channel of two users; both are in it from the first item on.
 * @param refusal why the user may not, unless the channel is there already
 */
export function createDirect(
  channelId: string,
  userId: string,
  otherId: string,
  nowMs: number,
  refusal?: DomainError,
): Decide {
  return (state) => {
    if (state) return undefined;
    if (refusal) throw refusal;
    const kind = ChannelKind.DIRECT;
    const newChannel = channel(
      { channelId, kind, creatorId: userId, historyBeforeJoining: true },
      nowMs,
    );
    return {
      body: membership({ kind: ChangeKind.CREATED, userIds: [userId, otherId] }),
      newChannel,
    };
  };
}

/** What owner and admins decide about a group. */
export type Settings = Pick<
  GroupSettings,
  "public" | "historyBeforeJoining" | "membersMayAdd" | "membersMayRename"
>;

/** Creates a group with its first members; the creator owns it. */
export function createGroup(
  channelId: string,
  creatorId: string,
  name: string,
  settings: Settings,
  otherIds: readonly string[],
  nowMs: number,
): Decide {
  const userIds = [...new Set([creatorId, ...otherIds])];
  const { historyBeforeJoining, membersMayAdd, membersMayRename } = settings;
  return (state) => {
    if (state) throw refuse("CLIENT_MESSAGE_ID_REUSED", `${channelId} exists already`);
    const newChannel = channel(
      {
        ...{ channelId, kind: ChannelKind.GROUP, creatorId, name, public: settings.public },
        ...{ historyBeforeJoining, membersMayAdd, membersMayRename },
      },
      nowMs,
    );
    const newOwnerId = creatorId;
    return { body: membership({ kind: ChangeKind.CREATED, userIds, newOwnerId }), newChannel };
  };
}

function channel(
  fields: Omit<MessageInitShape<typeof ChannelSchema>, "$typeName">,
  nowMs: number,
): Channel {
  const createTime = timestampFromMs(nowMs);
  return create(ChannelSchema, { ...fields, mode: DeliveryMode.COPY, createTime });
}

/** A change of membership, as an item has it. */
export function membership(change: MessageInitShape<typeof MembershipChangeSchema>): Body {
  return { case: "membershipChange", value: create(MembershipChangeSchema, change) };
}

/** From now on the channel is published once. */
export function turnsLive(): Body {
  const change = { case: "mode", value: DeliveryMode.LIVE } as const;
  return { case: "channelChange", value: create(ChannelChangeSchema, { change }) };
}

/** Refuses a group that would have more members than it can. */
export function groupFull(channelId: string, size: number): DomainError<MessageReason> {
  return refuse(
    "GROUP_FULL",
    `${channelId} would have ${size} members; the limit is ${groupMembersMax}`,
  );
}
