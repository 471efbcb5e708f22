import { timestampFromDate, timestampMs } from "@bufbuild/protobuf/wkt";
import { fieldInvalid } from "../../mesh/errors.ts";
import { sessionError } from "./session-errors.ts";
import { callerOf, type SessionHandlers, type SessionParts } from "./session-parts.ts";

/** Channels that an account mutes at once. */
const mutesMax = 1_000;

/** Channels have ids like this; whether there is such a channel is Message's to know. */
const channelIdPattern = /^[dg]-[a-z0-9-]{1,62}$/;

interface MuteRow {
  channel_id: string;
  until_time: Date | null;
}

/** The channels of which the caller wants no pushes. */
export function channelMuteHandlers({
  sql,
  clock,
}: SessionParts): Pick<SessionHandlers, "setChannelMute" | "listChannelMutes"> {
  return {
    async setChannelMute({ channelId, mute }, context) {
      const { userId } = callerOf(context);
      requireChannelId("channel_id", channelId);
      const now = new Date(clock.nowMs());
      const until = mute.case === "untilTime" ? new Date(timestampMs(mute.value)) : null;
      if (until && !(until > now)) throw fieldInvalid("until_time", "it is not in the future");
      // Those that have ended go now and then.
      await sql.query(
        "DELETE FROM channel_mutes WHERE user_id = $1 AND (until_time <= $3 OR channel_id = $2)",
        [userId, channelId, now],
      );
      if (!until && !(mute.case === "forever" && mute.value)) return {};
      const stored = await sql.query(
        `INSERT INTO channel_mutes (user_id, channel_id, until_time)
        SELECT user_id, $2, $3 FROM users WHERE user_id = $1
          AND (SELECT count(*) FROM channel_mutes WHERE user_id = $1) < ${mutesMax}
        ON CONFLICT (user_id, channel_id) DO UPDATE SET until_time = EXCLUDED.until_time
        RETURNING channel_id`,
        [userId, channelId, until],
      );
      if (stored.length > 0) return {};
      throw sessionError("TOO_MANY_MUTES", `${mutesMax} channels are muted`);
    },

    async listChannelMutes(_request, context) {
      const rows = await sql.query<MuteRow>(
        `SELECT channel_id, until_time FROM channel_mutes
        WHERE user_id = $1 AND coalesce(until_time > $2, true) ORDER BY channel_id`,
        [callerOf(context).userId, new Date(clock.nowMs())],
      );
      return {
        mutes: rows.map(({ channel_id: channelId, until_time: until }) => ({
          channelId,
          ...(until && { untilTime: timestampFromDate(until) }),
        })),
      };
    },
  };
}

/** An id of a channel. @throws DomainError FIELD_INVALID */
export function requireChannelId(field: string, value: string): string {
  if (channelIdPattern.test(value)) return value;
  throw fieldInvalid(field, `${JSON.stringify(value.slice(0, 64))} is no id of a channel`);
}
