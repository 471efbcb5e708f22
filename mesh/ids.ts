/**
 * Branded ids, so that one can't be taken for another, and the Snowflake's layout.
 */
import { randomUUID } from "node:crypto";

declare const brand: unique symbol;
type Brand<T, Name> = T & { readonly [brand]: Name };

/** An account: 16 characters of a-z and 0-9. */
export type UserId = Brand<string, "UserId">;
/** A signed-in device: 16 characters of a-z and 0-9. */
export type DeviceId = Brand<string, "DeviceId">;
/** A channel: "d-<user>-<user>" or "g-<20 characters>". */
export type ChannelId = Brand<string, "ChannelId">;
/** A Snowflake: 41 bits of ms since {@link snowflakeEpochMs}, 10 of worker, 12 of sequence. */
export type MessageId = Brand<bigint, "MessageId">;

/** 2025-01-01T00:00:00Z. The ids last until 2094. */
export const snowflakeEpochMs = Date.UTC(2025, 0, 1);

/** The greatest id that there can be. */
export const messageIdMax = (2n ** 63n - 1n) as MessageId;

/** The lesser of two ids. */
export function minId(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** The greater of two ids. */
export function maxId(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** When the id was made, in milliseconds since 1970. */
export function messageTimeMs(id: bigint): number {
  return Number(id >> 22n) + snowflakeEpochMs;
}

/** The smallest id that can be made at `timeMs`; 0 for times before the epoch. */
export function firstMessageIdAt(timeMs: number): MessageId {
  return (BigInt(Math.max(0, Math.trunc(timeMs) - snowflakeEpochMs)) << 22n) as MessageId;
}

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** The time in a UUIDv7, in ms since 1970 (RFC 9562 section 5.7); undefined: it is none. */
export function uuidV7TimeMs(id: string): number | undefined {
  if (!uuidV7.test(id)) return undefined;
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

/** A new UUIDv7 of a time in ms since 1970. */
export function newUuidV7(nowMs: number): string {
  const time = Math.trunc(nowMs).toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}
