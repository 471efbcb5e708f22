import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  Audience,
  DoNotDisturbSchema,
  type Settings,
  SettingsSchema,
} from "../../gen/parley/session/v1/session_pb.js";
import { fieldInvalid } from "../../mesh/errors.ts";
import type { SqlValue } from "../../mesh/sql.ts";
import { requireDoNotDisturb } from "./do-not-disturb.ts";
import { callerGone, callerOf, type SessionHandlers, type SessionParts } from "./session-parts.ts";

/** A user's row, as far as it holds settings. */
export interface SettingsRow {
  presence_audience: Audience;
  last_seen_audience: Audience;
  message_audience: Audience;
  group_add_audience: Audience;
  friend_request_audience: Audience;
  push_previews: boolean;
  do_not_disturb: Uint8Array | null;
}

type Column = keyof SettingsRow;

/** What is stored of the settings, by column: the columns are named as the contract's fields. */
const stored: Readonly<Record<Column, (settings: Settings) => SqlValue>> = {
  presence_audience: (settings) => audience("presence_audience", settings.presenceAudience),
  last_seen_audience: (settings) => audience("last_seen_audience", settings.lastSeenAudience),
  message_audience: (settings) => audience("message_audience", settings.messageAudience),
  group_add_audience: (settings) => audience("group_add_audience", settings.groupAddAudience),
  friend_request_audience: ({ friendRequestAudience }) => {
    const asked = audience("friend_request_audience", friendRequestAudience);
    if (asked !== Audience.FRIENDS) return asked;
    throw fieldInvalid("settings.friend_request_audience", "FRIENDS have no need to ask");
  },
  push_previews: ({ pushPreviews }) => pushPreviews,
  do_not_disturb: ({ doNotDisturb }) => {
    if (!doNotDisturb) return null;
    requireDoNotDisturb("settings.do_not_disturb", doNotDisturb);
    return toBinary(DoNotDisturbSchema, doNotDisturb);
  },
};
const columns = Object.keys(stored) as Column[];

/** The columns of {@link SettingsRow}. */
export const settingsColumns: string = columns.join(", ");

/** A row as the contract's Settings. */
export function toSettings(row: SettingsRow): Settings {
  return create(SettingsSchema, {
    presenceAudience: row.presence_audience,
    lastSeenAudience: row.last_seen_audience,
    messageAudience: row.message_audience,
    groupAddAudience: row.group_add_audience,
    friendRequestAudience: row.friend_request_audience,
    pushPreviews: row.push_previews,
    ...(row.do_not_disturb && {
      doNotDisturb: fromBinary(DoNotDisturbSchema, row.do_not_disturb),
    }),
  });
}

/** The caller's own settings. */
export function settingsHandlers(
  parts: SessionParts,
): Pick<SessionHandlers, "getSettings" | "updateSettings"> {
  return {
    async getSettings(_request, context) {
      const [row] = await parts.sql.query<SettingsRow>(
        `SELECT ${settingsColumns} FROM users WHERE user_id = $1`,
        [callerOf(context).userId],
      );
      return { settings: required(row) };
    },

    async updateSettings({ settings, updateMask }, context) {
      const { userId } = callerOf(context);
      if (!settings) throw fieldInvalid("settings", "they are missing");
      const changed = requireColumns(updateMask?.paths ?? []);
      const values = changed.map((column) => stored[column](settings));
      const [row] = await parts.sql.query<SettingsRow>(
        `UPDATE users SET ${changed.map((column, i) => `${column} = $${i + 2}`)}
        WHERE user_id = $1 RETURNING ${settingsColumns}`,
        [userId, ...values],
      );
      const answer = { settings: required(row) };
      parts.streams.publishAccount(userId);
      return answer;
    },
  };
}

function requireColumns(paths: readonly string[]): Column[] {
  if (paths.length === 0) return columns;
  const isColumn = (path: string): path is Column => Object.hasOwn(stored, path);
  const unknown = paths.find((path) => !isColumn(path));
  if (unknown === undefined) return [...new Set(paths.filter(isColumn))];
  const shown = JSON.stringify(unknown.slice(0, 64));
  throw fieldInvalid("update_mask", `${shown} is not one of ${settingsColumns}`);
}

function audience(field: Column, value: Audience): Audience {
  if (!(value in Audience)) throw fieldInvalid(`settings.${field}`, `${value} is not 0 to 3`);
  return value || Audience.EVERYBODY;
}

function required(row: SettingsRow | undefined): MessageInitShape<typeof SettingsSchema> {
  if (!row) throw callerGone();
  return toSettings(row);
}
