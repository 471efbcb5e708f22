/** How items of LIVE channels are told to their followers. */
import {
  MembershipChange_Kind as ChangeKind,
  type Message,
} from "../gen/parley/message/v1/message_pb.js";

/**
 * Whether the message says only that members came or went. In a LIVE channel these are told as a
 * count; whom one concerns finds it in its own inbox.
 * @param exceptId a user whose own coming and going does not count as such
 */
export function isComingOrGoing({ body }: Message, exceptId?: string): boolean {
  if (body.case !== "membershipChange") return false;
  const { kind, newOwnerId, userIds } = body.value;
  if (newOwnerId !== "" || (exceptId !== undefined && userIds.includes(exceptId))) return false;
  return isComing(kind) || isGoing(kind);
}

/** Whether the message says that its channel is deleted: nothing follows. */
export function isDeletion({ body }: Message): boolean {
  return body.case === "channelChange" && body.value.change.case === "deletion";
}

/** Whether the change ends memberships. */
export function isGoing(kind: ChangeKind): boolean {
  return kind === ChangeKind.REMOVED || kind === ChangeKind.LEFT || kind === ChangeKind.BANNED;
}

function isComing(kind: ChangeKind): boolean {
  return kind === ChangeKind.ADDED || kind === ChangeKind.JOINED;
}
