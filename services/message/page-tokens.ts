/** Page tokens: next to which message, or after which id, a page lies. Opaque to clients. */
import { fieldInvalid } from "../../mesh/errors.ts";
import { pageSize } from "./request-fields.ts";
import type { IndexPosition } from "./search/search-index.ts";

/** Where a page lies. */
export interface Position {
  side: "before" | "after" | "around";
  id: bigint;
}

/** The token of a page that lies before or after a message. */
export function writePageToken(side: "before" | "after", id: bigint): string {
  return Buffer.from(`${side}:${id}`).toString("base64url");
}

/** @throws DomainError FIELD_INVALID for anything that was not written here. */
export function readPageToken(token: string): Position {
  const text = Buffer.from(token.slice(0, 64), "base64url").toString();
  const match = /^(before|after):(\d{1,19})$/.exec(text);
  if (!match) throw fieldInvalid("page_token", "is not from a page of this method");
  return { side: match[1] as "before" | "after", id: BigInt(match[2]!) };
}

/** The token of a page that lies after an item. */
export function writeSequenceToken(channelSequence: number): string {
  return Buffer.from(`after-item:${channelSequence}`).toString("base64url");
}

/** @throws DomainError FIELD_INVALID for anything that was not written here. */
export function readSequenceToken(token: string): number {
  const text = Buffer.from(token.slice(0, 64), "base64url").toString();
  const match = /^after-item:(\d{1,10})$/.exec(text);
  if (!match) throw fieldInvalid("page_token", "is not from a page of this method");
  return Number(match[1]);
}

/** A page of rows that are all at hand, by user id. @throws DomainError FIELD_INVALID */
export function idPage<Row extends { userId: string }>(
  all: Row[],
  request: { pageSize: number; pageToken: string },
  sizeDefault: number,
  sizeMax: number,
): { rows: Row[]; nextPageToken: string } {
  const size = pageSize(request.pageSize, sizeDefault, sizeMax);
  const after = readIdToken(request.pageToken);
  const rows = all
    .filter(({ userId }) => userId > after)
    .sort((a, b) => (a.userId < b.userId ? -1 : 1));
  const more = rows.length > size;
  return {
    rows: rows.slice(0, size),
    nextPageToken: more ? writeIdToken(rows[size - 1]!.userId) : "",
  };
}

/** The token of a page that lies after an id. */
export function writeIdToken(id: string): string {
  return Buffer.from(id).toString("base64url");
}

/** @throws DomainError FIELD_INVALID for anything that was not written here. */
export function readIdToken(token: string): string {
  const id = Buffer.from(token.slice(0, 128), "base64url").toString();
  if (!/^[a-z0-9-]*$/.test(id)) throw fieldInvalid("page_token", "is not from this method");
  return id;
}

/** The token of the page after what was found. */
export function writeRankToken({ rank, messageId }: IndexPosition): string {
  return Buffer.from(`${rank}:${messageId}`).toString("base64url");
}

/** @throws DomainError FIELD_INVALID for anything that was not written here. */
export function readRankToken(token: string): IndexPosition {
  const text = Buffer.from(token.slice(0, 64), "base64url").toString();
  const match = /^(\d{1,9}):(\d{1,19})$/.exec(text);
  if (!match) throw fieldInvalid("page_token", "is not from a page of this method");
  return { rank: Number(match[1]), messageId: BigInt(match[2]!) };
}
