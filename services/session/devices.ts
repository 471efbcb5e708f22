import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { requireId } from "./fields.ts";
import { sessionError } from "./session-errors.ts";
import { callerOf, type SessionHandlers, type SessionParts } from "./session-parts.ts";
import { devicesMax } from "./sign-in.ts";

interface DeviceRow {
  device_id: string;
  name: string;
  create_time: Date;
  last_refresh_time: Date;
}

/** Listing devices and signing them out. */
export function deviceHandlers(
  parts: SessionParts,
): Pick<SessionHandlers, "listDevices" | "revokeDevice" | "logOut"> {
  /** Ends a sign-in, and sends what an earlier call ended but could not send. */
  async function end(userId: string, deviceId: string): Promise<boolean> {
    const condition = "user_id = $2 AND device_id = $3";
    const ended = await parts.revocations.endDevices(parts.sql, condition, [userId, deviceId]);
    await parts.revocations.send(userId);
    return ended > 0;
  }

  return {
    async listDevices(_request, context) {
      const { userId, deviceId } = callerOf(context);
      const rows = await parts.sql.query<DeviceRow>(
        `SELECT device_id, name, create_time, last_refresh_time FROM devices
        WHERE user_id = $1 AND refresh_expire_time > $2
        ORDER BY create_time DESC, device_id LIMIT ${devicesMax}`,
        [userId, new Date(parts.clock.nowMs())],
      );
      return {
        devices: rows.map((row) => ({
          deviceId: row.device_id,
          name: row.name,
          createTime: timestampFromDate(row.create_time),
          lastRefreshTime: timestampFromDate(row.last_refresh_time),
          current: row.device_id === deviceId,
        })),
      };
    },

    async revokeDevice(request, context) {
      const { userId } = callerOf(context);
      const deviceId = requireId("device_id", request.deviceId);
      if (!(await end(userId, deviceId))) {
        throw sessionError("DEVICE_NOT_FOUND", `${deviceId} is not signed in to this account`);
      }
      return {};
    },

    async logOut(_request, context) {
      const { userId, deviceId } = callerOf(context);
      await end(userId, deviceId);
      return {};
    },
  };
}
