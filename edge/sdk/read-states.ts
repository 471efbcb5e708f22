/** How far the user has read each channel, as far as the device knows. */
import type { Cursor } from "../../gen/parley/message/v1/cursor_pb.js";
import type { Message } from "../../gen/parley/message/v1/message_pb.js";
import { membershipAfter } from "./channel-state.ts";

/** One channel's. */
interface ReadPosition {
  /** The greatest id that has been told of. */
  lastMessageId: bigint;
  /** How many texts there are. */
  messageCount: number;
  /** Up to where they are read. */
  readMessageId: bigint;
  /** How many texts that makes; undefined: the service has not said yet. */
  readNumber: number | undefined;
  /** The count that was told last. */
  told: number | undefined;
}

/** All channels' of one device. Every number only grows, so that the order of what comes is all one. */
export class ReadStates {
  private readonly userId: string;
  private readonly onUnread: (channelId: string, unreadCount: number) => void;
  private readonly positions = new Map<string, ReadPosition>();

  constructor(userId: string, onUnread: (channelId: string, unreadCount: number) => void) {
    this.userId = userId;
    this.onUnread = onUnread;
  }

  /** How many texts of the channel are unread; undefined: not known yet. */
  unread(channelId: string): number | undefined {
    const position = this.positions.get(channelId);
    if (position?.readNumber === undefined) return undefined;
    return Math.max(0, position.messageCount - position.readNumber);
  }

  /** The newest message that has been told of; 0: none. */
  lastMessageId(channelId: string): bigint {
    return this.positions.get(channelId)?.lastMessageId ?? 0n;
  }

  /** Up to where the user has read; 0: not at all, or it is not known. */
  readMessageId(channelId: string): bigint {
    return this.positions.get(channelId)?.readMessageId ?? 0n;
  }

  /** The device was told of a channel's messages up to there in an earlier run. */
  begin(channelId: string, lastMessageId: bigint): void {
    this.positionOf(channelId).lastMessageId = lastMessageId;
  }

  /** A message was told of. The user's own, and the user's joining, are read. */
  onMessage(message: Message): void {
    const { channelId, messageId, messageNumber, senderId } = message;
    const member = membershipAfter(message, this.userId);
    if (member === false) {
      this.positions.delete(channelId);
      return;
    }
    const position = this.positionOf(channelId);
    if (messageId > position.lastMessageId) position.lastMessageId = messageId;
    position.messageCount = Math.max(position.messageCount, messageNumber);
    if (member || senderId === this.userId) read(position, messageId, messageNumber);
    this.tell(channelId, position);
  }

  /** The service has said how many texts a channel has, and where the user's cursor is. */
  onListed(channelId: string, messageCount: number, cursor: Cursor | undefined): void {
    const position = this.positionOf(channelId);
    position.messageCount = Math.max(position.messageCount, messageCount);
    read(position, cursor?.readMessageId ?? 0n, cursor?.readMessageNumber ?? 0);
    this.tell(channelId, position);
  }

  /** The user's cursor has moved, on whichever device. */
  onMoved(channelId: string, { readMessageId, readMessageNumber }: Cursor): void {
    const position = this.positionOf(channelId);
    if (readMessageId > 0n) read(position, readMessageId, readMessageNumber);
    this.tell(channelId, position);
  }

  /** The user reads, and the service does not know yet: what it makes of the newest is known. */
  onRead(channelId: string, messageId: bigint): void {
    const position = this.positions.get(channelId);
    if (position?.readNumber === undefined || messageId < position.lastMessageId) return;
    read(position, messageId, position.messageCount);
    this.tell(channelId, position);
  }

  private positionOf(channelId: string): ReadPosition {
    let position = this.positions.get(channelId);
    if (!position) {
      const nothing = { lastMessageId: 0n, messageCount: 0, readMessageId: 0n };
      position = { ...nothing, readNumber: undefined, told: undefined };
      this.positions.set(channelId, position);
    }
    return position;
  }

  private tell(channelId: string, position: ReadPosition): void {
    const unread = this.unread(channelId);
    if (unread === undefined || unread === position.told) return;
    position.told = unread;
    this.onUnread(channelId, unread);
  }
}

function read(position: ReadPosition, messageId: bigint, messageNumber: number): void {
  if (messageId > position.readMessageId) position.readMessageId = messageId;
  position.readNumber = Math.max(position.readNumber ?? 0, messageNumber);
}
