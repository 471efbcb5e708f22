/** A device that signs in: its row and its tokens. SignUp and LogIn share it. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { TokensSchema } from "../../gen/parley/session/v1/session_pb.js";
import { signAccessToken } from "../../mesh/access-token.ts";
import type { DeviceId, UserId } from "../../mesh/ids.ts";
import type { SqlValue } from "../../mesh/sql.ts";
import { randomId } from "./ids.ts";
import { newRefreshToken, type RefreshToken } from "./refresh-token.ts";
import type { SessionParts } from "./session-parts.ts";

/** How many devices an account has at most: signing in a further one ends the oldest. */
export const devicesMax = 100;

/** A device about to be signed in. */
export interface NewDevice {
  userId: string;
  deviceId: string;
  refreshToken: RefreshToken;
  refreshExpireMs: number;
  /** What {@link insertDevice} takes, $1 to $8. */
  params: SqlValue[];
}

/** Stores a {@link NewDevice}; $1 is the user and $4 the present time. */
export const insertDevice = `
  INSERT INTO devices (user_id, device_id, name, create_time, last_refresh_time,
    refresh_expire_time, refresh_family_hash, refresh_hash, network)
  VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8)
`;

/** A device with a new id and a new refresh token, in the client's network. */
export function newDevice(
  parts: SessionParts,
  userId: string,
  name: string,
  network: string,
): NewDevice {
  const deviceId = randomId();
  const refreshToken = newRefreshToken();
  const nowMs = parts.clock.nowMs();
  const refreshExpireMs = nowMs + parts.config.refreshTokenMs;
  const { familyHash, hash } = refreshToken;
  const times = [new Date(nowMs), new Date(refreshExpireMs)];
  return {
    userId,
    deviceId,
    refreshToken,
    refreshExpireMs,
    params: [userId, deviceId, name, ...times, familyHash, hash, network],
  };
}

/** The tokens of a stored device: the refresh token given, and an access token signed now. */
export async function issueTokens(
  parts: SessionParts,
  device: Omit<NewDevice, "params">,
): Promise<MessageInitShape<typeof TokensSchema>> {
  const issueTimeMs = parts.clock.nowMs();
  const expireTimeMs = issueTimeMs + parts.config.accessTokenMs;
  const accessToken = await signAccessToken(await parts.signingKeys.current(), {
    userId: device.userId as UserId,
    deviceId: device.deviceId as DeviceId,
    issueTimeMs,
    expireTimeMs,
  });
  return {
    accessToken,
    accessExpireTime: timestampFromMs(expireTimeMs),
    refreshToken: device.refreshToken.text,
    refreshExpireTime: timestampFromMs(device.refreshExpireMs),
  };
}
