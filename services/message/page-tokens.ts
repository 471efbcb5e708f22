/** Page tokens of a history: next to which message the page lies. Opaque to clients. */
import { fieldInvalid } from "../../mesh/errors.ts";

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
