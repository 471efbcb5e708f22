/** What an item does to stays, told by the item alone: whoever looks needs no list of members. */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  MembershipChange_Kind as ChangeKind,
  type Member,
  MemberRole,
  MemberSchema,
  type Message,
} from "../../../gen/parley/message/v1/message_pb.js";

/** The members that an item makes, and those that it takes away or gives another role. */
export interface StayChanges {
  begun: readonly Member[];
  /** As they were. */
  ended: readonly Member[];
  /** As they are. */
  changed: readonly Member[];
}

const none: StayChanges = { begun: [], ended: [], changed: [] };

/** What an item of the log does to stays. */
export function stayChanges(message: Message): StayChanges {
  if (message.body.case !== "membershipChange") return none;
  const { kind, userIds, newOwnerId, members } = message.body.value;
  if (begins(kind)) {
    const joinTime = message.sendTime ?? timestampFromMs(0);
    const begun = userIds.map((userId) =>
      create(MemberSchema, {
        userId,
        role: userId === newOwnerId ? MemberRole.OWNER : MemberRole.MEMBER,
        joinTime,
        joinedSequence: message.channelSequence,
        joinedMessageNumber: message.messageNumber,
      }),
    );
    return { begun, ended: [], changed: [] };
  }
  if (!ends(kind)) return { begun: [], ended: [], changed: members };
  return {
    begun: [],
    ended: members.filter(({ userId }) => userIds.includes(userId)),
    changed: members.filter(({ userId }) => !userIds.includes(userId)),
  };
}

function begins(kind: ChangeKind): boolean {
  return kind === ChangeKind.CREATED || kind === ChangeKind.ADDED || kind === ChangeKind.JOINED;
}

function ends(kind: ChangeKind): boolean {
  return kind === ChangeKind.REMOVED || kind === ChangeKind.LEFT || kind === ChangeKind.BANNED;
}
