import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Audience, FriendState } from "../../gen/parley/session/v1/session_pb.js";
import { fieldInvalid } from "../../mesh/errors.ts";
import { requireId } from "./fields.ts";
import { friendsMax } from "./friend-pair.ts";
import {
  callerOf,
  type SessionHandlers,
  type SessionParts,
  toUser,
  type UserRow,
} from "./session-parts.ts";

const pageSizeDefault = 100;
const pageSizeMax = 1_000;

type FriendRow = UserRow & { state: FriendState; change_time: Date };

/** Reading friends: in pages for the user, as ids for Presence. */
export function listFriendHandlers(
  parts: SessionParts,
): Pick<SessionHandlers, "listFriends" | "listFriendIds"> {
  return {
    async listFriends({ pageSize, pageToken, state }, context) {
      const { userId } = callerOf(context);
      if (!(state in FriendState)) throw fieldInvalid("state", `${state} is not 0 to 3`);
      const limit = requirePageSize(pageSize);
      const rows = await parts.sql.query<FriendRow>(
        `SELECT users.user_id, username, display_name, state, change_time
        FROM friends JOIN users ON users.user_id = friend_id
        WHERE friends.user_id = $1 AND friend_id > $2 AND ($3 = 0 OR state = $3)
        ORDER BY friend_id LIMIT $4`,
        [userId, afterToken(pageToken), state, limit + 1],
      );
      const page = rows.slice(0, limit);
      return {
        friends: page.map((row) => ({
          user: toUser(row),
          state: row.state,
          changeTime: timestampFromDate(row.change_time),
        })),
        nextPageToken: rows.length > limit ? toToken(page.at(-1)!.user_id) : "",
      };
    },

    async listFriendIds(request) {
      const userId = requireId("user_id", request.userId);
      const rows = await parts.sql.query<{ audience: Audience; friend_id: string | null }>(
        `SELECT presence_audience AS audience, friend_id
        FROM users LEFT JOIN friends ON friends.user_id = users.user_id AND state = $2
        WHERE users.user_id = $1 ORDER BY friend_id LIMIT ${friendsMax}`,
        [userId, FriendState.FRIENDS],
      );
      return {
        userIds: rows.flatMap((row) => row.friend_id ?? []),
        // A deleted account has nobody to tell.
        presenceAudience: rows[0]?.audience ?? Audience.NOBODY,
      };
    },
  };
}

function requirePageSize(pageSize: number): number {
  if (pageSize < 0) throw fieldInvalid("page_size", `${pageSize} is negative`);
  return Math.min(pageSize || pageSizeDefault, pageSizeMax);
}

/** A page begins after the user that the token names. */
function toToken(userId: string): string {
  return Buffer.from(userId).toString("base64url");
}

function afterToken(token: string): string {
  if (token === "") return "";
  return requireId("page_token", Buffer.from(token, "base64url").toString());
}
