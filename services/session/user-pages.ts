/** Pages of users, ordered by user id. */
import { fieldInvalid } from "../../mesh/errors.ts";
import { requireId } from "./fields.ts";

const pageSizeDefault = 100;
const pageSizeMax = 1_000;

/** The page that a request asks for. */
export interface UserPage {
  size: number;
  /** It begins with the first user after this id; empty: with the first of all. */
  afterUserId: string;
}

/** What a request asks for. @throws DomainError FIELD_INVALID */
export function requirePage(pageSize: number, pageToken: string): UserPage {
  if (pageSize < 0) throw fieldInvalid("page_size", `${pageSize} is negative`);
  const size = Math.min(pageSize || pageSizeDefault, pageSizeMax);
  if (pageToken === "") return { size, afterUserId: "" };
  const afterUserId = Buffer.from(pageToken, "base64url").toString();
  return { size, afterUserId: requireId("page_token", afterUserId) };
}

/** The page's rows, of which one more than its size was read if there is one, and what follows. */
export function pageOf<Row extends { user_id: string }>(
  { size }: UserPage,
  rows: readonly Row[],
): { page: Row[]; nextPageToken: string } {
  const page = rows.slice(0, size);
  const hasMore = rows.length > size;
  const nextPageToken = hasMore ? Buffer.from(page.at(-1)!.user_id).toString("base64url") : "";
  return { page, nextPageToken };
}
