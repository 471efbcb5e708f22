/** Checks what requests carry; every error names the value and the limit. */
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ChannelDelivered } from "../../gen/parley/message/v1/cursor_pb.js";
import { DomainError, fieldInvalid } from "../../mesh/errors.ts";
import { uuidV7TimeMs } from "../../mesh/ids.ts";
import type { CallContext, Identity } from "../../mesh/rpc.ts";
import { refuse } from "./message-codes.ts";

/** Code points of a text: fewer than 100,000 (requirement M2). */
export const textCodePointsMax = 99_999;
/** How old a client id may be: the store's index of them keeps 30 days. */
const clientIdAgeMaxMs = 29 * 24 * 3_600_000;
/**
 * How far a client's id may be ahead: a minute by how the SDK makes ids, the rest for clocks. Until
 * that time has come, nobody's id is known to be new in its channel without asking the store.
 */
const clientIdAheadMaxMs = 120_000;

/** The last that Protobuf's JSON can tell. */
const timeMsMax = Date.UTC(10_000, 0) - 1;

/** Room for the longest sequences of Unicode, families and flags among them. */
const emojiBytesMax = 64;

const channelIdPattern = /^(?:d-[a-z0-9]{1,30}-[a-z0-9]{1,30}|g-[a-z0-9]{20})$/;
const userIdPattern = /^[a-z0-9]{1,30}$/;

/** The device that calls. @throws DomainError TOKEN_MISSING for a call without one. */
export function requireIdentity({ identity }: CallContext): Identity {
  if (!identity) throw new DomainError("TOKEN_MISSING", "the call carries no device's identity");
  return identity;
}

/** @throws DomainError FIELD_INVALID */
export function checkChannelId(channelId: string): void {
  if (!channelIdPattern.test(channelId)) {
    throw fieldInvalid("channel_id", `${quote(channelId)} is no channel id`);
  }
}

/** @throws DomainError FIELD_INVALID */
export function checkUserId(field: string, userId: string): void {
  if (!userIdPattern.test(userId)) throw fieldInvalid(field, `${quote(userId)} is no user id`);
}

/** @throws DomainError FIELD_INVALID */
export function checkUserIds(field: string, userIds: readonly string[], min: number, max: number) {
  if (userIds.length < min || userIds.length > max) {
    throw fieldInvalid(field, `${userIds.length} users, must be ${min} to ${max}`);
  }
  for (const [i, userId] of userIds.entries()) checkUserId(`${field}[${i}]`, userId);
}

/** The time in a client's id, in ms since 1970. @throws DomainError CLIENT_MESSAGE_ID_INVALID */
export function checkClientMessageId(clientMessageId: string, nowMs: number): number {
  const timeMs = uuidV7TimeMs(clientMessageId);
  if (timeMs === undefined) {
    throw invalidClientId(`${quote(clientMessageId)} is no UUIDv7 in lower case with hyphens`);
  }
  if (timeMs < nowMs - clientIdAgeMaxMs) {
    throw invalidClientId(`its time, ${isoTime(timeMs)}, is more than 29 days back`);
  }
  if (timeMs > nowMs + clientIdAheadMaxMs) {
    const most = `2 minutes after ${isoTime(nowMs)}`;
    throw invalidClientId(`its time, ${isoTime(timeMs)}, is more than ${most}`);
  }
  return timeMs;
}

/** @throws DomainError TEXT_EMPTY, TEXT_TOO_LONG */
export function checkText(text: string): void {
  if (text.length === 0) throw refuse("TEXT_EMPTY", "text is empty; the least is 1 code point");
  if (text.length <= textCodePointsMax) return;
  let codePoints = 0;
  for (const _ of text) codePoints++;
  if (codePoints > textCodePointsMax) {
    const message = `text has ${codePoints} code points; the limit is ${textCodePointsMax}`;
    throw refuse("TEXT_TOO_LONG", message);
  }
}

/** @throws DomainError FIELD_INVALID */
export function checkEmoji(emoji: string): void {
  const bytes = Buffer.byteLength(emoji);
  if (bytes < 1 || bytes > emojiBytesMax) {
    throw fieldInvalid("emoji", `${bytes} bytes, must be 1 to ${emojiBytesMax}`);
  }
  if (/[\s\p{Cc}]/u.test(emoji))
    throw fieldInvalid("emoji", "has white space or control characters");
}

/** @throws DomainError FIELD_INVALID */
export function checkGroupName(name: string): void {
  const codePoints = [...name].length;
  if (codePoints < 1 || codePoints > 100) {
    throw fieldInvalid("name", `${codePoints} code points, must be 1 to 100`);
  }
}

/** @throws DomainError FIELD_INVALID */
export function checkInviteToken(token: string): void {
  if (token.length <= 64) return;
  throw fieldInvalid("invite_token", `has ${token.length} characters; the limit is 64`);
}

/** The time in ms since 1970; undefined: none. @throws DomainError FIELD_INVALID past year 9999 */
export function checkExpireTime(time: Timestamp | undefined): number | undefined {
  if (!time) return undefined;
  const timeMs = timestampMs(time);
  if (timeMs <= timeMsMax) return Math.max(timeMs, 0);
  throw fieldInvalid("expire_time", "lies after the year 9999");
}

/** The size of a page: 0 is the default, more than the limit the limit. @throws FIELD_INVALID */
export function pageSize(requested: number, byDefault: number, max: number): number {
  if (requested < 0) throw fieldInvalid("page_size", `${requested}, must not be negative`);
  return requested === 0 ? byDefault : Math.min(requested, max);
}

/** The id must be a message's. @throws DomainError FIELD_INVALID */
export function checkMessageId(field: string, messageId: bigint): void {
  if (messageId < 0n) throw fieldInvalid(field, `${messageId}, must not be negative`);
}

/** @throws DomainError FIELD_INVALID */
export function checkReadMessageId(messageId: bigint): void {
  if (messageId < 1n) throw fieldInvalid("message_id", `${messageId}, must be at least 1`);
}

/** Channels of one MarkDelivered. */
const deliveredChannelsMax = 100;

/** @throws DomainError FIELD_INVALID */
export function checkDelivered(channels: readonly ChannelDelivered[]): void {
  const { length } = channels;
  if (length > deliveredChannelsMax) {
    throw fieldInvalid("channels", `are ${length}, must be at most ${deliveredChannelsMax}`);
  }
  for (const { channelId, messageId } of channels) {
    checkChannelId(channelId);
    checkMessageId("channels.message_id", messageId);
  }
}

function invalidClientId(description: string): DomainError {
  return new DomainError("CLIENT_MESSAGE_ID_INVALID", `client_message_id: ${description}`, {
    fieldViolations: [{ field: "client_message_id", description }],
  });
}

function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

/** What was given, but never much of it. */
function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
