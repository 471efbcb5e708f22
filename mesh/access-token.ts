/**
 * Access tokens: JWTs that Session signs and every edge verifies by itself. Header: `alg` EdDSA
 * (Ed25519), `typ` at+jwt, `kid`. Claims: `aud` parley, `sub` the user, `did` the device, `iat`
 * and `exp` in whole seconds.
 */
import { SignJWT } from "jose";
import type { DeviceId, UserId } from "./ids.ts";

/** What an access token says. */
export interface AccessToken {
  userId: UserId;
  deviceId: DeviceId;
  /** When it was issued, in milliseconds since 1970, a whole second. */
  issueTimeMs: number;
  /** From when on it is refused. */
  expireTimeMs: number;
}

/** The fixed parts of every token: `access-token-verifier.ts` refuses all else. */
export const accessTokenFormat = {
  alg: "EdDSA",
  typ: "at+jwt",
  aud: "parley",
} as const;

/**
 * No access token lives longer, whatever Session is set to. The stream of revocations keeps an
 * hour: a token must not outlive its revocation.
 */
export const accessTokenMsMax = 55 * 60_000;

/** Signs with an Ed25519 key. Times are cut to whole seconds. */
export function signAccessToken(
  key: { keyId: string; privateKey: CryptoKey },
  token: AccessToken,
): Promise<string> {
  const { alg, typ, aud } = accessTokenFormat;
  return new SignJWT({ did: token.deviceId })
    .setProtectedHeader({ alg, typ, kid: key.keyId })
    .setAudience(aud)
    .setSubject(token.userId)
    .setIssuedAt(Math.floor(token.issueTimeMs / 1_000))
    .setExpirationTime(Math.floor(token.expireTimeMs / 1_000))
    .sign(key.privateKey);
}
