/**
 * How the embedded stores lay their rows out in one ordered map of binary keys and values. Keys
 * begin with their table; strings in them end with a zero, numbers have a fixed width, so that
 * keys sort as their parts do. Values of rows that may come late begin with their sequence.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { ChannelAccessSchema } from "../../../gen/parley/log/v1/log_pb.js";
import {
  ChannelSchema,
  type Message,
  MessageSchema,
} from "../../../gen/parley/message/v1/message_pb.js";
import { fieldInvalid } from "../../../mesh/errors.ts";
import { decodePlacement, encodePlacement, type Placement } from "../channel/placement.ts";
import { bodySequence } from "./message-revisions.ts";
import type {
  AccessRow,
  ChannelRow,
  DeviceCursorRow,
  MembershipRow,
  ReactionRow,
} from "./message-store.ts";

/** A key and its value. */
export interface OrderedPair {
  key: Buffer;
  value: Buffer;
}

/** The first byte of a key. Stored: never give one another meaning. */
export const Table = {
  /** channel, message id -> message. */
  MESSAGES: 1,
  /** channel, sender, client id -> what it became, and until when that is known. */
  SENDS: 2,
  /** channel -> channel. */
  CHANNELS: 3,
  /** channel, user, joined sequence -> stay. */
  STAYS: 4,
  /** The same rows, as far as they have not ended. */
  MEMBERS: 5,
  /** user, channel, joined sequence -> nothing: the stays of MEMBERS the other way round. */
  MEMBERSHIPS: 6,
  /** user, device -> cursor. */
  CURSORS: 7,
  /** -> the key where the next look for expired SENDS begins. */
  SWEEP: 8,
  /** channel -> who is kept out, and who gets in by a link. */
  ACCESS: 9,
  /** channel, message id, emoji as base64url, user -> whether it is given. */
  REACTIONS: 10,
  /** channel, sequence of a revision -> the message that it changes. */
  REVISIONS: 11,
  /** channel, user -> how far the member has received and read. */
  MEMBER_CURSORS: 12,
} as const;
export type Table = (typeof Table)[keyof typeof Table];

/** A part of a key: an id, an unsigned 32-bit or 64-bit number. */
export type KeyPart = string | number | bigint;

const idPattern = /^[\x20-\x7e]{0,200}$/;

/** A key, or the beginning that keys have in common. @throws DomainError FIELD_INVALID */
export function rowKey(table: Table, ...parts: readonly KeyPart[]): Buffer {
  let size = 1;
  for (const part of parts) size += partBytes(part);
  const key = Buffer.allocUnsafe(size);
  let at = key.writeUInt8(table);
  for (const part of parts) {
    if (typeof part === "number") at = key.writeUInt32BE(part, at);
    else if (typeof part === "bigint") at = key.writeBigUInt64BE(part, at);
    else at = key.writeUInt8(0, at + key.write(part, at, "latin1"));
  }
  return key;
}

function partBytes(part: KeyPart): number {
  if (typeof part === "number") return 4;
  if (typeof part === "bigint") return 8;
  if (!idPattern.test(part)) {
    throw fieldInvalid("id", `${JSON.stringify(part.slice(0, 200))} is not 0 to 200 of ASCII`);
  }
  return part.length + 1;
}

/** The first key after all keys that begin like this one. */
export function keyAfter(beginning: Buffer): Buffer {
  const key = Buffer.from(beginning);
  // The last byte is a table's or a string's end: never 255.
  key[key.length - 1]! += 1;
  return key;
}

/** The string that begins at an offset of a key. */
export function keyString(key: Buffer, at: number): string {
  return key.toString("latin1", at, key.indexOf(0, at));
}

/** The sequence that a value begins with. */
export function rowSequence(value: Buffer): number {
  return value.readUInt32BE(0);
}

/** The value of a row of MESSAGES. */
export function encodeMessage(message: Message): Buffer {
  return withHeader(4, toBinary(MessageSchema, message), (value) => {
    value.writeUInt32BE(bodySequence(message));
  });
}

/** What {@link encodeMessage} was given. */
export function decodeMessage(value: Buffer): Message {
  return fromBinary(MessageSchema, value.subarray(4));
}

/** What a client id became, and until when that is known. */
export interface SendRow {
  placement: Placement;
  expireTimeMs: number;
}

/** The value of a row of SENDS. */
export function encodeSend({ placement, expireTimeMs }: SendRow): Buffer {
  return withHeader(10, encodePlacement(placement), (value) => {
    value.writeUInt32BE(placement.channelSequence);
    value.writeUIntBE(expireTimeMs, 4, 6);
  });
}

/** What {@link encodeSend} was given. */
export function decodeSend(value: Buffer): SendRow {
  return { placement: decodePlacement(value.subarray(10)), expireTimeMs: sendExpireTimeMs(value) };
}

/** Until when a row of SENDS is known. */
export function sendExpireTimeMs(value: Buffer): number {
  return value.readUIntBE(4, 6);
}

/** The row of REACTIONS of a message. */
export function reactionPair(channelId: string, messageId: bigint, row: ReactionRow): OrderedPair {
  const emoji = Buffer.from(row.emoji).toString("base64url");
  const value = Buffer.allocUnsafe(5);
  value.writeUInt32BE(row.sequence);
  value.writeUInt8(row.given ? 1 : 0, 4);
  return { key: rowKey(Table.REACTIONS, channelId, messageId, emoji, row.userId), value };
}

/** The message and the reaction in a row of REACTIONS. */
export function decodeReaction({ key, value }: OrderedPair): [bigint, ReactionRow] {
  const at = keyString(key, 1).length + 2;
  const emoji = keyString(key, at + 8);
  const row: ReactionRow = {
    userId: keyString(key, at + 9 + emoji.length),
    emoji: Buffer.from(emoji, "base64url").toString(),
    sequence: rowSequence(value),
    given: value.readUInt8(4) === 1,
  };
  return [key.readBigUInt64BE(at), row];
}

/** The value of a row of CHANNELS. */
export function encodeChannel(row: ChannelRow): Buffer {
  return withHeader(16, toBinary(ChannelSchema, row.channel), (value) => {
    value.writeUInt32BE(row.sequence);
    value.writeUIntBE(row.logSequence, 4, 6);
    value.writeUIntBE(row.maxClientTimeMs, 10, 6);
  });
}

/** What {@link encodeChannel} was given. */
export function decodeChannel(value: Buffer): ChannelRow {
  return {
    channel: fromBinary(ChannelSchema, value.subarray(16)),
    sequence: rowSequence(value),
    logSequence: value.readUIntBE(4, 6),
    maxClientTimeMs: value.readUIntBE(10, 6),
  };
}

/** The value of a row of ACCESS. */
export function encodeAccess({ access, sequence }: AccessRow): Buffer {
  return withHeader(4, toBinary(ChannelAccessSchema, access), (value) => {
    value.writeUInt32BE(sequence);
  });
}

/** What {@link encodeAccess} was given. */
export function decodeAccess(channelId: string, value: Buffer): AccessRow {
  const access = fromBinary(ChannelAccessSchema, value.subarray(4));
  return { channelId, access, sequence: rowSequence(value) };
}

/** The value of a row of STAYS or MEMBERS. */
export function encodeStay(row: MembershipRow): Buffer {
  const value = Buffer.allocUnsafe(15);
  value.writeUInt32BE(row.sequence);
  value.writeUInt32BE(row.leftSequence, 4);
  value.writeUInt8(row.role, 8);
  value.writeUIntBE(row.joinTimeMs, 9, 6);
  return value;
}

/** The stay in a row of STAYS or MEMBERS. */
export function decodeStay(key: Buffer, value: Buffer): MembershipRow {
  const channelId = keyString(key, 1);
  return {
    channelId,
    userId: keyString(key, channelId.length + 2),
    joinedSequence: key.readUInt32BE(key.length - 4),
    leftSequence: value.readUInt32BE(4),
    role: value.readUInt8(8),
    joinTimeMs: value.readUIntBE(9, 6),
    sequence: rowSequence(value),
  };
}

/** The value of a row of CURSORS. */
export function encodeCursor(row: DeviceCursorRow): Buffer {
  return withHeader(14, Buffer.from(row.inboxEpoch, "latin1"), (value) => {
    value.writeUIntBE(row.inboxSequence, 0, 6);
    value.writeBigUInt64BE(row.curMaxMessageId, 6);
  });
}

/** What {@link encodeCursor} was given. */
export function decodeCursor(userId: string, deviceId: string, value: Buffer): DeviceCursorRow {
  return {
    userId,
    deviceId,
    inboxEpoch: value.toString("latin1", 14),
    inboxSequence: value.readUIntBE(0, 6),
    curMaxMessageId: value.readBigUInt64BE(6),
  };
}

function withHeader(bytes: number, body: Uint8Array, write: (value: Buffer) => void): Buffer {
  const value = Buffer.allocUnsafe(bytes + body.length);
  write(value);
  value.set(body, bytes);
  return value;
}
