/** What an entry of the log means for the store. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Member, Message } from "../../gen/parley/message/v1/message_pb.js";
import type { ChannelItem } from "./channel-item.ts";
import type { ChannelState } from "./channel-state.ts";
import type { MembershipRow } from "./message-store.ts";

/** Moves the state on by an item and returns the membership rows that it changes. */
export function applyWithRows(state: ChannelState, item: ChannelItem): MembershipRow[] {
  if (item.case !== "message" || item.value.body.case !== "membershipChange") {
    state.applyItem(item);
    return [];
  }
  const message = item.value;
  const { userIds, newOwnerId } = item.value.body.value;
  const before = new Map(userIds.map((userId) => [userId, state.members.get(userId)]));
  state.applyItem(item);
  const rows: MembershipRow[] = [];
  for (const [userId, was] of before) {
    const is = state.members.get(userId);
    if (is) rows.push(rowOf(message, is, 0));
    else if (was) rows.push(rowOf(message, was, message.channelSequence));
  }
  const owner = state.members.get(newOwnerId);
  if (owner) rows.push(rowOf(message, owner, 0));
  return rows;
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
