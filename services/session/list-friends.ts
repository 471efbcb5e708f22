import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Audience, FriendState } from "../../gen/parley/session/v1/session_pb.js";
import { fieldInvalid } from "../../mesh/errors.ts";
import { blockedIds } from "./blocks.ts";
import { requireId } from "./fields.ts";
import { friendsMax } from "./friend-pair.ts";
import {
  callerOf,
  type SessionHandlers,
  type SessionParts,
  toUser,
  type UserRow,
} from "./session-parts.ts";
import { pageOf, requirePage } from "./user-pages.ts";

interface AudienceRow {
  presence_audience: Audience;
  last_seen_audience: Audience;
}

const hidden: AudienceRow = {
  presence_audience: Audience.NOBODY,
  last_seen_audience: Audience.NOBODY,
};

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

    async listFriendIds(request) {
      const userId = requireId("user_id", request.userId);
      const [rows, blockedUserIds] = await Promise.all([
        parts.sql.query<AudienceRow & { friend_id: string | null }>(
          `SELECT presence_audience, last_seen_audience, friend_id
          FROM users LEFT JOIN friends ON friends.user_id = users.user_id AND state = $2
          WHERE users.user_id = $1 ORDER BY friend_id LIMIT ${friendsMax}`,
          [userId, FriendState.FRIENDS],
        ),
        blockedIds(parts, userId),
      ]);
      // A deleted account has nobody to tell.
      const { presence_audience, last_seen_audience } = rows[0] ?? hidden;
      return {
        userIds: rows.flatMap((row) => row.friend_id ?? []),
        presenceAudience: presence_audience,
        lastSeenAudience: last_seen_audience,
        blockedUserIds,
      };
    },
  };
}
