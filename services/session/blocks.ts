import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { requireIds } from "./fields.ts";
import { inPair } from "./friend-pair.ts";
import { sessionError } from "./session-errors.ts";
import {
  callerOf,
  type SessionHandlers,
  type SessionParts,
  toUser,
  type UserRow,
} from "./session-parts.ts";
import { pageOf, requirePage } from "./user-pages.ts";

/** Users to a call: their longest lists fill 3.4 MB of the 4 that an answer may have. */
const blockersMax = 40;

/** Blocking, unblocking, and who is blocked. Both users of a changed friendship are told of. */
export function blockHandlers(
  parts: SessionParts,
): Pick<SessionHandlers, "blockUser" | "unblockUser" | "listBlockedUsers" | "listBlockedUserIds"> {
  return {
    async blockUser(request, context) {
      await inPair(parts, request.userId, context, async (pair) => {
        if (!pair.other) throw sessionError("USER_NOT_FOUND", `no user ${pair.otherId}`);
        await pair.block();
        await pair.delete([pair.callerId, pair.otherId]);
      });
      return {};
    },

    async unblockUser(request, context) {
      await inPair(parts, request.userId, context, (pair) => pair.unblock());
      return {};
    },

    async listBlockedUsers({ pageSize, pageToken }, context) {
      const wanted = requirePage(pageSize, pageToken);
      const rows = await parts.sql.query<UserRow & { create_time: Date }>(
        `SELECT users.user_id, username, display_name, blocks.create_time
        FROM blocks JOIN users ON users.user_id = blocked_id
        WHERE blocks.user_id = $1 AND blocked_id > $2 ORDER BY blocked_id LIMIT $3`,
        [callerOf(context).userId, wanted.afterUserId, wanted.size + 1],
      );
      const { page, nextPageToken } = pageOf(wanted, rows);
      const blockedUsers = page.map((row) => ({
        user: toUser(row),
        blockTime: timestampFromDate(row.create_time),
      }));
      return { blockedUsers, nextPageToken };
    },

    async listBlockedUserIds({ userIds }) {
      requireIds("user_ids", userIds, blockersMax);
      const rows = await parts.sql.query<{ user_id: string; blocked_ids: string[] }>(
        `SELECT user_id, array_agg(blocked_id ORDER BY blocked_id) AS blocked_ids
        FROM blocks WHERE user_id = ANY($1) GROUP BY user_id`,
        [userIds],
      );
      return {
        blocks: rows.map(({ user_id: userId, blocked_ids: blockedUserIds }) => {
          return { userId, blockedUserIds };
        }),
      };
    },
  };
}
