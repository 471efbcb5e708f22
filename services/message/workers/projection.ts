/** What an entry of the log means for the store. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Member, Message } from "../../../gen/parley/message/v1/message_pb.js";
import type { ChannelItem } from "../channel/channel-item.ts";
import type { ChannelState } from "../channel/channel-state.ts";
import { stayChanges } from "../channel/stay-changes.ts";
import type { MemberCursorRow, MembershipRow } from "../store/message-store.ts";

/** Moves the state on by an item and returns the membership rows that it changes. */
export function applyWithRows(state: ChannelState, item: ChannelItem): MembershipRow[] {
  state.applyItem(item);
  return item.case === "message" ? membershipRows(item.value) : [];
}

/** The membership rows that a message changes. */
export function membershipRows(message: Message): MembershipRow[] {
  const { begun, ended, changed } = stayChanges(message);
  return [
    ...ended.map((member) => rowOf(message, member, message.channelSequence)),
    ...[...begun, ...changed].map((member) => rowOf(message, member, 0)),
  ];
}

/**
 * The cursors that a message moves by itself: its sender has read up to it, and whoever joins has
 * nothing unread.
 */
export function cursorsMovedBy(message: Message): MemberCursorRow[] {
  const { channelId, senderId, messageId, messageNumber, sendTime } = message;
  const joined = stayChanges(message).begun.map(({ userId }) => userId);
  const userIds = new Set([senderId, ...joined]);
  const position = { readMessageId: messageId, readMessageNumber: messageNumber };
  const moveTimeMs = sendTime ? timestampMs(sendTime) : 0;
  return Array.from(userIds, (userId) => ({
    ...{ channelId, userId, deliveredMessageId: 0n },
    ...{ ...position, moveTimeMs },
  }));
}

function rowOf(message: Message, member: Member, leftSequence: number): MembershipRow {
  return {
    channelId: message.channelId,
    userId: member.userId,
    joinedSequence: member.joinedSequence,
    leftSequence,
    role: member.role,
    joinTimeMs: member.joinTime ? timestampMs(member.joinTime) : 0,
    sequence: message.channelSequence,
  };
}
