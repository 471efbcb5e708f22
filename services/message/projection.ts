/** What an entry of the log means for the store. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Member, Message } from "../../gen/parley/message/v1/message_pb.js";
import type { ChannelItem } from "./channel-item.ts";
import type { ChannelState } from "./channel-state.ts";
import type { MembershipRow } from "./message-store.ts";
import { stayChanges } from "./stay-changes.ts";

/** Moves the state on by an item and returns the membership rows that it changes. */
export function applyWithRows(state: ChannelState, item: ChannelItem): MembershipRow[] {
  state.applyItem(item);
  if (item.case !== "message") return [];
  const message = item.value;
  const { begun, ended, changed } = stayChanges(message);
  return [
    ...ended.map((member) => rowOf(message, member, message.channelSequence)),
    ...[...begun, ...changed].map((member) => rowOf(message, member, 0)),
  ];
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
