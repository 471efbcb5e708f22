import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ProfileSchema } from "../../gen/parley/session/v1/session_pb.js";
import { requireDisplayName, requireEmail } from "./fields.ts";
import {
  callerGone,
  callerOf,
  type SessionHandlers,
  type SessionParts,
  toUser,
  type UserRow,
  userColumns,
} from "./session-parts.ts";
import { takenOr } from "./sign-up.ts";

type ProfileRow = UserRow & { email: string | null; create_time: Date };

const profileColumns = `${userColumns}, email, create_time`;

/** The caller's own profile. */
export function profileHandlers(
  parts: SessionParts,
): Pick<SessionHandlers, "getProfile" | "updateProfile"> {
  return {
    async getProfile(_request, context) {
      const [row] = await parts.sql.query<ProfileRow>(
        `SELECT ${profileColumns} FROM users WHERE user_id = $1`,
        [callerOf(context).userId],
      );
      return { profile: toProfile(row) };
    },

    async updateProfile(request, context) {
      const { userId } = callerOf(context);
      const displayName =
        request.displayName === undefined
          ? null
          : requireDisplayName("display_name", request.displayName);
      const email = requireEmail("email", request.email ?? "");
      try {
        const [row] = await parts.sql.query<ProfileRow>(
          `UPDATE users SET display_name = coalesce($2, display_name),
            email = CASE WHEN $3::boolean THEN $4 ELSE email END
          WHERE user_id = $1 RETURNING ${profileColumns}`,
          [userId, displayName, request.email !== undefined, email],
        );
        return { profile: toProfile(row) };
      } catch (error) {
        throw takenOr(error, "", email);
      }
    },
  };
}

function toProfile(row: ProfileRow | undefined): MessageInitShape<typeof ProfileSchema> {
  if (!row) throw callerGone();
  return {
    user: toUser(row),
    email: row.email ?? "",
    createTime: timestampFromDate(row.create_time),
  };
}
