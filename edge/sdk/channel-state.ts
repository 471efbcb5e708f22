/** What a device knows of one channel, and what it can't tell of yet. */
import type { Message } from "../../gen/parley/message/v1/message_pb.js";
import { MembershipChange_Kind as ChangeKind } from "../../gen/parley/message/v1/message_pb.js";
import type { ChannelPosition } from "./device-entries.ts";

/** What has happened in a channel, for tests and for the curious. */
export interface ChannelCounts {
  /** Gaps seen: messages that did not follow the last one, or came without their body. */
  gaps: number;
  /** Messages that came from the history and not from the inbox. */
  repaired: number;
  /** Repetitions dropped. */
  duplicates: number;
}

/** A channel as the device knows it. */
export type KnownChannel = Readonly<ChannelPosition & ChannelCounts>;

/** Messages of one channel that are held back; what does not fit is read from the history. */
export const heldMessagesMax = 256;
/** One channel; `held` is sorted and free of repetitions. */
export class ChannelState implements KnownChannel {
  readonly channelId: string;
  lastMessageId: bigint;
  lastChannelSequence: number;
  member: boolean;
  gaps = 0;
  repaired = 0;
  duplicates = 0;
  /** What can't be told yet. */
  readonly held: Message[] = [];
  /** The newest message that the inbox has named and that was not told yet; 0: none. */
  wantedMessageId = 0n;
  /** The newest revision that the inbox has named and that was not told yet; 0: none. */
  wantedSequence = 0;
  /** Whether the inbox has yet to bring its first message of this channel. */
  isOnlyListed = false;
  /** Whether the history has yet to be read to its end, whatever the inbox says. */
  incomplete = false;
  /** Whether the device lacks too much of it to be told of everything. */
  isFarBehind = false;
  /** The reading that is under way. */
  reading: Promise<void> | undefined;

  constructor({ channelId, lastMessageId, lastChannelSequence, member }: ChannelPosition) {
    this.channelId = channelId;
    this.lastMessageId = lastMessageId;
    this.lastChannelSequence = lastChannelSequence;
    this.member = member;
  }

  get lacksSomething(): boolean {
    return (
      this.incomplete ||
      this.held.length > 0 ||
      this.wantedMessageId > this.lastMessageId ||
      this.wantedSequence > this.lastChannelSequence
    );
  }

  /** Keeps a message from the inbox where there is room and it is whole. */
  hold(message: Message): void {
    if (message.messageId > this.wantedMessageId) this.wantedMessageId = message.messageId;
    if (!message.bodyOmitted && this.held.length < heldMessagesMax) this.insert(message);
  }

  /** False: it is there already; what it is now takes the place of what it was. */
  insert(message: Message): boolean {
    const at = this.held.findLastIndex(
      ({ channelSequence }) => channelSequence <= message.channelSequence,
    );
    const known = this.held[at];
    if (known?.channelSequence === message.channelSequence) {
      if (message.revisionSequence > known.revisionSequence) this.held[at] = message;
      return false;
    }
    this.held.splice(at + 1, 0, message);
    return true;
  }
}

/** What a message makes of the user's membership; undefined: nothing. */
export function membershipAfter({ body }: Message, userId: string): boolean | undefined {
  if (body.case === "channelChange" && body.value.change.case === "deletion") return false;
  if (body.case !== "membershipChange" || !body.value.userIds.includes(userId)) return undefined;
  const { CREATED, ADDED, JOINED, REMOVED, LEFT, BANNED } = ChangeKind;
  if ([CREATED, ADDED, JOINED].includes(body.value.kind)) return true;
  return [REMOVED, LEFT, BANNED].includes(body.value.kind) ? false : undefined;
}
