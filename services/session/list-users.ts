import { fieldInvalid } from "../../mesh/errors.ts";
import { requireEach, requireId, requireUsername } from "./fields.ts";
import {
  type SessionHandlers,
  type SessionParts,
  toUser,
  type UserRow,
  userColumns,
} from "./session-parts.ts";

/** Ids and names of one call, together. */
const namedMax = 100;

/** Ids and names may name the same users; each is answered once. */
export function listUsers(parts: SessionParts): SessionHandlers["listUsers"] {
  return async ({ userIds, usernames }) => {
    const named = userIds.length + usernames.length;
    if (named < 1 || named > namedMax) {
      throw fieldInvalid("user_ids", `${named} ids and names are not 1 to ${namedMax}`);
    }
    requireEach("user_ids", userIds, requireId);
    requireEach("usernames", usernames, requireUsername);
    const rows = await parts.sql.query<UserRow>(
      `SELECT ${userColumns} FROM users
      WHERE user_id = ANY($1::text[]) OR lower(username) = ANY($2::text[]) ORDER BY user_id`,
      [userIds, usernames.map((username) => username.toLowerCase())],
    );
    return { users: rows.map(toUser) };
  };
}
