import { clientNetwork } from "../../mesh/client-network.ts";
import { requireRegion } from "./fields.ts";
import {
  newRefreshSalt,
  nextRefreshToken,
  parseRefreshToken,
  type RefreshToken,
} from "./refresh-token.ts";
import { sessionError } from "./session-errors.ts";
import type { SessionHandlers, SessionParts } from "./session-parts.ts";
import { issueTokens, type NewDevice } from "./sign-in.ts";

/**
 * A token that was replaced this recently, and by the newest one, gets that newest one again: the
 * answer was lost, or two tabs asked at once. After that it is a copy in somebody else's hands.
 */
const repeatMs = 10_000;

type Refreshed = Omit<NewDevice, "params">;

/** One statement where the token is the latest; a second one finds out why it is not. */
export function refreshTokens(parts: SessionParts): SessionHandlers["refreshTokens"] {
  return async (request, { clientAddress }) => {
    const region = requireRegion("region", request.region);
    const token = parseRefreshToken(request.refreshToken);
    if (!token) throw invalid();
    const refreshed =
      (await rotate(parts, token, clientNetwork(clientAddress))) ?? (await repeat(parts, token));
    const tokens = await issueTokens(parts, refreshed);
    return { tokens, edges: parts.edges.choose({ region }) };
  };
}

/** Replaces the token in one statement; undefined: it is not the device's latest, or expired. */
async function rotate(
  parts: SessionParts,
  token: RefreshToken,
  network: string,
): Promise<Refreshed | undefined> {
  const nowMs = parts.clock.nowMs();
  const refreshExpireMs = nowMs + parts.config.refreshTokenMs;
  const times = [new Date(nowMs), new Date(refreshExpireMs)];
  const salt = newRefreshSalt();
  const next = nextRefreshToken(token, salt);
  const [row] = await parts.sql.query<{ user_id: string; device_id: string }>(
    `UPDATE devices SET prev_refresh_hash = refresh_hash, refresh_hash = $3, refresh_salt = $4,
      last_refresh_time = $5, refresh_expire_time = $6, network = $7
    WHERE refresh_family_hash = $1 AND refresh_hash = $2 AND refresh_expire_time > $5
    RETURNING user_id, device_id`,
    [token.familyHash, token.hash, next.hash, salt, ...times, network],
  );
  if (!row) return undefined;
  return { userId: row.user_id, deviceId: row.device_id, refreshToken: next, refreshExpireMs };
}

/** Answers a repetition as it was answered, and ends the sign-in of a token used again. */
async function repeat(parts: SessionParts, token: RefreshToken): Promise<Refreshed> {
  const [row] = await parts.sql.query<{
    user_id: string;
    device_id: string;
    is_latest: boolean;
    is_previous: boolean;
    refresh_salt: Uint8Array | null;
    last_refresh_time: Date;
    refresh_expire_time: Date;
  }>(
    `SELECT user_id, device_id, refresh_hash = $2 AS is_latest, prev_refresh_hash = $2 AS is_previous,
      refresh_salt, last_refresh_time, refresh_expire_time
    FROM devices WHERE refresh_family_hash = $1`,
    [token.familyHash, token.hash],
  );
  if (!row) throw invalid();
  if (row.is_latest) {
    throw sessionError("REFRESH_TOKEN_EXPIRED", "the device was away too long: sign in again");
  }
  const { user_id: userId, device_id: deviceId } = row;
  if (row.is_previous && parts.clock.nowMs() - row.last_refresh_time.getTime() <= repeatMs) {
    const refreshToken = nextRefreshToken(token, row.refresh_salt!);
    return { userId, deviceId, refreshToken, refreshExpireMs: row.refresh_expire_time.getTime() };
  }
  await parts.revocations.endDevices(parts.sql, "device_id = $2", [deviceId]);
  await parts.revocations.send(userId);
  throw sessionError("REFRESH_TOKEN_REUSED", "the token was used before: the sign-in is ended");
}

function invalid(): Error {
  return sessionError("REFRESH_TOKEN_INVALID", "not the refresh token of a signed-in device");
}
