import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  Audience,
  type ProfileSchema,
  type SettingsSchema,
} from "../../gen/parley/session/v1/session_pb.js";
import { fieldInvalid } from "../../mesh/errors.ts";
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

interface SettingsRow {
  presence_audience: Audience;
  push_previews: boolean;
}

/** The caller's own profile and settings. */
export function profileHandlers(
  parts: SessionParts,
): Pick<SessionHandlers, "getProfile" | "updateProfile" | "getSettings" | "updateSettings"> {
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

    async getSettings(_request, context) {
      const [row] = await parts.sql.query<SettingsRow>(
        "SELECT presence_audience, push_previews FROM users WHERE user_id = $1",
        [callerOf(context).userId],
      );
      return { settings: toSettings(row) };
    },

    async updateSettings({ settings }, context) {
      const { userId } = callerOf(context);
      if (!settings) throw fieldInvalid("settings", "they are missing");
      const audience = settings.presenceAudience || Audience.EVERYBODY;
      if (!(audience in Audience)) {
        throw fieldInvalid("settings.presence_audience", `${audience} is not 0 to 3`);
      }
      const [row] = await parts.sql.query<SettingsRow>(
        `UPDATE users SET presence_audience = $2, push_previews = $3
        WHERE user_id = $1 RETURNING presence_audience, push_previews`,
        [userId, audience, settings.pushPreviews],
      );
      return { settings: toSettings(row) };
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

function toSettings(row: SettingsRow | undefined): MessageInitShape<typeof SettingsSchema> {
  if (!row) throw callerGone();
  return { presenceAudience: row.presence_audience, pushPreviews: row.push_previews };
}
