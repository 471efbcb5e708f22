import { fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  DoNotDisturbSchema,
  type PushToken,
  PushTokenSchema,
} from "../../gen/parley/session/v1/session_pb.js";
import type { PushRecipientSchema } from "../../gen/parley/session/v1/session_service_pb.js";
import { DomainError, fieldInvalid, unavailable } from "../../mesh/errors.ts";
import { type SqlQueries, UniqueViolation } from "../../mesh/sql.ts";
import { requireChannelId } from "./channel-mutes.ts";
import { isQuietAt } from "./do-not-disturb.ts";
import { requireEach, requireId, requireIds } from "./fields.ts";
import { addressOf, requirePushToken } from "./push-token-fields.ts";
import { callerOf, type SessionHandlers, type SessionParts } from "./session-parts.ts";

/** Devices of an account that get pushes: those that registered last. */
const targetsMax = 10;
/** 10 targets of 1.2 KB for each of so many are below the 4 MB of an answer. */
const usersMax = 300;
/** Channels that are asked about at once, and senders. */
const subjectsMax = 300;

interface TargetRow {
  user_id: string;
  push_previews: boolean;
  do_not_disturb: Uint8Array | null;
  device_id: string;
  token: Uint8Array;
  muted_channel_ids: string[];
  blocked_sender_ids: string[];
}

type Recipient = MessageInitShape<typeof PushRecipientSchema>;

/** Where pushes go. A token is a row that its device's sign-in takes with it when it ends. */
export function pushTokenHandlers(
  parts: SessionParts,
): Pick<
  SessionHandlers,
  | "getWebPushKey"
  | "registerPushToken"
  | "unregisterPushToken"
  | "listPushTargets"
  | "deletePushToken"
> {
  const { sql, clock, config } = parts;

  async function store(
    transaction: SqlQueries,
    userId: string,
    deviceId: string,
    token: PushToken,
  ): Promise<void> {
    const address = addressOf(token);
    await transaction.query("DELETE FROM push_tokens WHERE address = $1 AND device_id <> $2", [
      address,
      deviceId,
    ]);
    const stored = await transaction.query(
      `INSERT INTO push_tokens (device_id, address, token, register_time)
      SELECT device_id, $3, $4, $5 FROM devices WHERE user_id = $1 AND device_id = $2 FOR KEY SHARE
      ON CONFLICT (device_id) DO UPDATE SET address = $3, token = $4, register_time = $5
      RETURNING device_id`,
      [userId, deviceId, address, toBinary(PushTokenSchema, token), new Date(clock.nowMs())],
    );
    if (stored.length === 0) {
      throw new DomainError("TOKEN_REVOKED", "the device has been signed out");
    }
    await transaction.query(
      `DELETE FROM push_tokens WHERE device_id IN (
        SELECT device_id FROM push_tokens JOIN devices USING (device_id) WHERE user_id = $1
        ORDER BY register_time DESC, device_id OFFSET ${targetsMax})`,
      [userId],
    );
  }

  return {
    getWebPushKey: async () => ({ vapidPublicKey: config.vapidPublicKey }),

    async registerPushToken(request, context) {
      const { userId, deviceId } = callerOf(context);
      const token = requirePushToken("token", request.token, config.privateHosts);
      try {
        await sql.transaction((transaction) => store(transaction, userId, deviceId, token));
      } catch (error) {
        if (!(error instanceof UniqueViolation)) throw error;
        throw unavailable("another device registers the same token", 100, error);
      }
      return {};
    },

    async unregisterPushToken(_request, context) {
      const { deviceId } = callerOf(context);
      await sql.query("DELETE FROM push_tokens WHERE device_id = $1", [deviceId]);
      return {};
    },

    async listPushTargets({ userIds, channelIds, senderIds }) {
      requireIds("user_ids", userIds, usersMax);
      if (Math.max(channelIds.length, senderIds.length) > subjectsMax) {
        const field = channelIds.length > subjectsMax ? "channel_ids" : "sender_ids";
        throw fieldInvalid(field, `they are more than ${subjectsMax}`);
      }
      requireEach("channel_ids", channelIds, requireChannelId);
      requireEach("sender_ids", senderIds, requireId);
      const rows = await sql.query<TargetRow>(
        `SELECT user_id, push_previews, do_not_disturb, device_id, token,
          ARRAY(SELECT channel_id FROM channel_mutes
            WHERE channel_mutes.user_id = users.user_id AND channel_id = ANY($3::text[])
            AND coalesce(until_time > $2, true)) AS muted_channel_ids,
          ARRAY(SELECT blocked_id FROM blocks
            WHERE blocks.user_id = users.user_id AND blocked_id = ANY($4::text[])
          ) AS blocked_sender_ids
        FROM users JOIN devices USING (user_id) JOIN push_tokens USING (device_id)
        WHERE user_id = ANY($1::text[]) AND refresh_expire_time > $2
        ORDER BY user_id, device_id`,
        [userIds, new Date(clock.nowMs()), channelIds, senderIds],
      );
      return { recipients: recipientsOf(rows.filter((row) => !isQuiet(row, clock.nowMs()))) };
    },

    async deletePushToken({ deviceId, token, goneTime }) {
      requireId("device_id", deviceId);
      if (!token?.service.case) throw fieldInvalid("token", "it names no service");
      await sql.query(
        `DELETE FROM push_tokens WHERE device_id = $1 AND address = $2
          AND register_time <= coalesce($3, register_time)`,
        [deviceId, addressOf(token), goneTime ? new Date(timestampMs(goneTime)) : null],
      );
      return {};
    },
  };
}

/** Whether the user wants no push at this time. */
function isQuiet({ do_not_disturb }: TargetRow, nowMs: number): boolean {
  return (
    do_not_disturb !== null && isQuietAt(fromBinary(DoNotDisturbSchema, do_not_disturb), nowMs)
  );
}

/** Rows of one user follow one another. */
function recipientsOf(rows: readonly TargetRow[]): Recipient[] {
  const recipients: (Recipient & { targets: object[] })[] = [];
  for (const row of rows) {
    if (recipients.at(-1)?.userId !== row.user_id) {
      recipients.push({
        userId: row.user_id,
        previews: row.push_previews,
        targets: [],
        mutedChannelIds: row.muted_channel_ids,
        blockedSenderIds: row.blocked_sender_ids,
      });
    }
    const target = { deviceId: row.device_id, token: fromBinary(PushTokenSchema, row.token) };
    recipients.at(-1)!.targets.push(target);
  }
  return recipients;
}
