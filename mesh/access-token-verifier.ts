import { errors, type JWTPayload, type JWTVerifyResult, jwtVerify } from "jose";
import type { Revocation } from "../gen/parley/log/v1/log_pb.js";
import type { SigningKey } from "../gen/parley/session/v1/session_pb.js";
import { type AccessToken, accessTokenFormat } from "./access-token.ts";
import { type Clock, sleep } from "./clock.ts";
import { DomainError, unavailable } from "./errors.ts";
import type { DeviceId, UserId } from "./ids.ts";

/** No token of ours is longer. */
const tokenLengthMax = 1_024;
/** How far the clocks of Session and of the verifier may differ. */
const clockSkewMs = 5_000;
/** A token with an unknown key makes the keys be read again, with this pause at least. */
const keysReloadMs = 1_000;
/** Revocations that are remembered; past it the oldest is forgotten. 100 MB. */
const revocationsMax = 1_000_000;

const idPattern = /^[a-z0-9]{16}$/;

/** What a verifier needs. */
export interface TokenVerifierOptions {
  /** Session's ListSigningKeys. */
  loadKeys(): Promise<readonly Pick<SigningKey, "keyId" | "publicKey">[]>;
  clock: Clock;
  /** How long an access token lives at most; an older one has expired, whatever it says. */
  accessTokenMs: number;
}

/**
 * Verifies access tokens, and knows which sign-ins were ended before their tokens. Calls Session
 * for keys alone: while it is away, tokens of known keys go on being verified.
 *
 * With jose and not node:crypto: besides being the library that many eyes keep right, it verifies
 * in Node's thread pool. Measured for one token: 21 to 67 µs of the event loop, where
 * `crypto.verify` holds it for 148 µs.
 */
export class TokenVerifier {
  private readonly options: TokenVerifierOptions;
  private keys = new Map<string, CryptoKey>();
  private nextLoad: Promise<void> | undefined;
  /** The latest read of the keys, whatever its outcome. */
  private loading: Promise<void> = Promise.resolve();
  /** Resolves when the keys may be read again. */
  private pause: Promise<void> = Promise.resolve();
  /** By `user/device` or `user/`: tokens issued before this are refused. Oldest first. */
  private readonly revocations = new Map<string, number>();

  constructor(options: TokenVerifierOptions) {
    this.options = options;
  }

  /** How many revocations are remembered. */
  get revocationCount(): number {
    return this.revocations.size;
  }

  /**
   * Checks a token and tells whose it is. One of an unknown key may wait a second for the keys to
   * be read again.
   *
   * @throws DomainError TOKEN_MISSING (it is empty), TOKEN_EXPIRED, TOKEN_REVOKED, TOKEN_INVALID
   * (forged, malformed or not ours), UNAVAILABLE (its key is unknown and the keys can't be read
   * now).
   */
  async verify(token: string): Promise<AccessToken> {
    if (token === "") throw new DomainError("TOKEN_MISSING", "an access token is needed");
    if (token.length > tokenLengthMax) throw invalid("it is too long for one of ours");
    const found = toAccessToken((await this.verifySignature(token)).payload);
    if (this.isRevoked(found)) {
      throw new DomainError("TOKEN_REVOKED", "the device's sign-in has been ended");
    }
    return found;
  }

  /** Whether a token that was verified earlier has been revoked since. */
  isRevoked(token: AccessToken): boolean {
    const { userId, deviceId, issueTimeMs } = token;
    const ofDevice = this.revocations.get(`${userId}/${deviceId}`) ?? 0;
    const ofUser = this.revocations.get(`${userId}/`) ?? 0;
    return issueTimeMs < Math.max(ofDevice, ofUser);
  }

  /**
   * Refuses the revocation's tokens from now on. Forgets revocations whose tokens have all
   * expired. The order of calls and repetitions don't matter.
   */
  applyRevocation(revocation: Revocation): void {
    const key = `${revocation.userId}/${revocation.deviceId}`;
    const known = this.revocations.get(key) ?? 0;
    this.revocations.delete(key);
    this.revocations.set(key, Math.max(known, Number(revocation.issuedBeforeMs)));

    const expiredMs = this.options.clock.nowMs() - this.options.accessTokenMs - clockSkewMs;
    for (const [oldest, issuedBeforeMs] of this.revocations) {
      if (issuedBeforeMs >= expiredMs && this.revocations.size <= revocationsMax) break;
      this.revocations.delete(oldest);
    }
  }

  private async verifySignature(token: string): Promise<JWTVerifyResult> {
    try {
      return await jwtVerify(token, ({ kid }) => this.keyOf(kid), {
        algorithms: [accessTokenFormat.alg],
        typ: accessTokenFormat.typ,
        audience: accessTokenFormat.aud,
        requiredClaims: ["sub", "did", "iat", "exp"],
        currentDate: new Date(this.options.clock.nowMs()),
        maxTokenAge: this.options.accessTokenMs / 1_000,
        clockTolerance: clockSkewMs / 1_000,
      });
    } catch (error) {
      if (error instanceof errors.JWTExpired) {
        throw new DomainError("TOKEN_EXPIRED", "the access token has expired");
      }
      if (error instanceof errors.JOSEError) throw invalid(error.message);
      throw error;
    }
  }

  private async keyOf(keyId: string | undefined): Promise<CryptoKey> {
    if (keyId === undefined) throw invalid("it names no key");
    if (!this.keys.has(keyId)) await this.loading;
    if (!this.keys.has(keyId)) await this.reloadKeys();
    const loaded = this.keys.get(keyId);
    if (!loaded) throw invalid("its key is unknown");
    return loaded;
  }

  /** Waits for a read of the keys that begins after the call: what it lacks is nobody's key. */
  private reloadKeys(): Promise<void> {
    this.nextLoad ??= this.pause.then(() => {
      this.nextLoad = undefined;
      const load = this.loadKeys();
      this.loading = load.catch(() => undefined);
      this.pause = this.loading.then(() => sleep(this.options.clock, keysReloadMs));
      return load;
    });
    return this.nextLoad;
  }

  private async loadKeys(): Promise<void> {
    const listed = await this.options.loadKeys().catch((error: unknown) => {
      throw unavailable("the keys of access tokens can't be read", keysReloadMs, error);
    });
    const imported = listed.map(async ({ keyId, publicKey }) => {
      const bytes = new Uint8Array(publicKey);
      const key = await crypto.subtle.importKey("raw", bytes, "Ed25519", false, ["verify"]);
      return [keyId, key] as const;
    });
    this.keys = new Map(await Promise.all(imported));
  }
}

function toAccessToken({ sub, did, iat, exp }: JWTPayload & { did?: unknown }): AccessToken {
  if (!idPattern.test(String(sub)) || !idPattern.test(String(did))) {
    throw invalid("its ids are malformed");
  }
  return {
    userId: sub as UserId,
    deviceId: did as DeviceId,
    issueTimeMs: iat! * 1_000,
    expireTimeMs: exp! * 1_000,
  };
}

function invalid(why: string): DomainError {
  return new DomainError("TOKEN_INVALID", `not an access token of ours: ${why}`);
}
