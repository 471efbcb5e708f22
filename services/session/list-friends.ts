import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Audience, FriendState } from "../../gen/parley/session/v1/session_pb.js";
import { fieldInvalid } from "../../mesh/errors.ts";
import { isId, requireCount } from "./fields.ts";
import {
  callerOf,
  type SessionHandlers,
  type SessionParts,
  toUser,
  type UserRow,
} from "./session-parts.ts";
import { pageOf, requirePage } from "./user-pages.ts";

/** Users to a call: their longest lists fill 3.6 MB of the 4 that an answer may have. */
const listedMax = 20;

interface FriendIdsRow {
  user_id: string;
  friend_ids: string[];
  presence_audience: Audience;
  last_seen_audience: Audience;
  blocked_ids: string[];
}

type FriendRow = UserRow & { state: FriendState; change_time: Date };

/** Reading friends: in pages for the user, as ids for Presence. */
export function listFriendHandlers(
  parts: SessionParts,
): Pick<SessionHandlers, "listFriends" | "listFriendIds"> {
  return {
    async listFriends({ pageSize, pageToken, state }, context) {
      const { userId } = callerOf(context);
      if (!(state in FriendState)) throw fieldInvalid("state", `${state} is not 0 to 3`);
      const wanted = requirePage(pageSize, pageToken);
      const rows = await parts.sql.query<FriendRow>(
        `SELECT users.user_id, username, display_name, state, change_time
        FROM friends JOIN users ON users.user_id = friend_id
        WHERE friends.user_id = $1 AND friend_id > $2 AND ($3 = 0 OR state = $3)
        ORDER BY friend_id LIMIT $4`,
        [userId, wanted.afterUserId, state, wanted.size + 1],
      );
      const { page, nextPageToken } = pageOf(wanted, rows);
      return {
        friends: page.map((row) => ({
          user: toUser(row),
          state: row.state,
          changeTime: timestampFromDate(row.change_time),
        })),
        nextPageToken,
      };
    },

    async listFriendIds({ userIds }) {
      requireCount("user_ids", userIds, listedMax);
      const rows = await parts.sql.query<FriendIdsRow>(
        `SELECT user_id, presence_audience, last_seen_audience,
          ARRAY(SELECT friend_id FROM friends
            WHERE friends.user_id = users.user_id AND state = ${FriendState.FRIENDS}
            ORDER BY friend_id) AS friend_ids,
          ARRAY(SELECT blocked_id FROM blocks
            WHERE blocks.user_id = users.user_id ORDER BY blocked_id) AS blocked_ids
        FROM users WHERE user_id = ANY($1::text[]) ORDER BY user_id`,
        [userIds.filter(isId)],
      );
      return {
        friends: rows.map((row) => ({
          userId: row.user_id,
          friendIds: row.friend_ids,
          presenceAudience: row.presence_audience,
          lastSeenAudience: row.last_seen_audience,
          blockedUserIds: row.blocked_ids,
        })),
      };
    },
  };
}
