import { generateKeyPairSync } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { SignJWT } from "jose";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { RevocationSchema } from "../gen/parley/log/v1/log_pb.js";
import { type AccessToken, signAccessToken } from "./access-token.ts";
import { TokenVerifier } from "./access-token-verifier.ts";
import { ManualClock } from "./clock-manual.ts";
import type { DeviceId, UserId } from "./ids.ts";

const accessTokenMs = 15 * 60_000;
const userId = "user000000000001" as UserId;
const deviceId = "device0000000001" as DeviceId;

interface Key {
  keyId: string;
  privateKey: CryptoKey;
  publicKey: Uint8Array<ArrayBuffer>;
}

async function makeKey(keyId: string): Promise<Key> {
  const pair = (await crypto.subtle.generateKey("Ed25519", true, [
    "sign",
    "verify",
  ])) as CryptoKeyPair;
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  return { keyId, privateKey: pair.privateKey, publicKey };
}

describe("access tokens", () => {
  let key: Key;
  let otherKey: Key;
  let clock: ManualClock;
  let listed: Key[] | Error;
  let loads: number;
  let verifier: TokenVerifier;

  beforeAll(async () => {
    key = await makeKey("key-1");
    otherKey = await makeKey("key-2");
  });

  beforeEach(() => {
    clock = new ManualClock();
    listed = [key];
    loads = 0;
    verifier = new TokenVerifier({
      clock,
      accessTokenMs,
      async loadKeys() {
        loads++;
        if (listed instanceof Error) throw listed;
        return listed;
      },
    });
  });

  const tokenNow = (): AccessToken => ({
    userId,
    deviceId,
    issueTimeMs: clock.nowMs(),
    expireTimeMs: clock.nowMs() + accessTokenMs,
  });
  const signNow = () => signAccessToken(key, tokenNow());
  const revoke = (user: string, device: string, issuedBeforeMs = clock.nowMs() + 1) =>
    verifier.applyRevocation(
      create(RevocationSchema, {
        userId: user,
        deviceId: device,
        issuedBeforeMs: BigInt(issuedBeforeMs),
      }),
    );

  /** A token that is ours but for what `change` does to it. */
  const forge = (claims: Record<string, unknown>, header: Record<string, string> = {}) => {
    const second = clock.nowMs() / 1_000;
    const ours = { aud: "parley", sub: userId, did: deviceId, iat: second, exp: second + 900 };
    return new SignJWT({ ...ours, ...claims })
      .setProtectedHeader({ alg: "EdDSA", typ: "at+jwt", kid: "key-1", ...header })
      .sign(key.privateKey);
  };

  it("[A1] a signed token tells its user, device and times", async () => {
    expect(await verifier.verify(await signNow())).toEqual(tokenNow());
    expect(await verifier.verify(await forge({}))).toEqual(tokenNow());
  });

  it("[A1] no token, and what is none, are told apart", async () => {
    await expect(verifier.verify("")).rejects.toMatchObject({ reason: "TOKEN_MISSING" });
    for (const text of ["x", "a.b.c", "..", `${await signNow()}x`, "x".repeat(1_025)]) {
      await expect(verifier.verify(text), text).rejects.toMatchObject({ reason: "TOKEN_INVALID" });
    }
  });

  it("[A1] a token that differs from ours in anything is refused", async () => {
    const forgeries = {
      "another audience": forge({ aud: "other" }),
      "no audience": forge({ aud: undefined }),
      "no user": forge({ sub: undefined }),
      "a malformed user": forge({ sub: "ROOT" }),
      "a malformed device": forge({ did: 7 }),
      "no end": forge({ exp: undefined }),
      "no start": forge({ iat: undefined }),
      "from the future": forge({ iat: clock.nowMs() / 1_000 + 6 }),
      "another type": forge({}, { typ: "JWT" }),
      "another key's id": forge({}, { kid: "key-2" }),
    };
    listed = [key, otherKey];
    for (const [what, token] of Object.entries(forgeries)) {
      await expect(verifier.verify(await token), what).rejects.toMatchObject({
        reason: "TOKEN_INVALID",
      });
    }
  });

  it("[A1] a changed claim or signature is refused", async () => {
    const [header, payload, signature] = (await signNow()).split(".") as [string, string, string];
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
    const changed = Buffer.from(JSON.stringify({ ...claims, sub: deviceId })).toString("base64url");
    const flipped = (signature.startsWith("A") ? "B" : "A") + signature.slice(1);
    for (const text of [
      `${header}.${changed}.${signature}`,
      `${header}.${payload}.${flipped}`,
      `${header}.${payload}.`,
    ]) {
      await expect(verifier.verify(text)).rejects.toMatchObject({ reason: "TOKEN_INVALID" });
    }
  });

  it("[A1] only our algorithm counts, whatever the header says", async () => {
    const [, payload] = (await signNow()).split(".");
    const header = (alg: string) =>
      Buffer.from(JSON.stringify({ alg, typ: "at+jwt", kid: "key-1" })).toString("base64url");
    const withPublicKeyAsSecret = new SignJWT({ aud: "parley", sub: userId, did: deviceId })
      .setProtectedHeader({ alg: "HS256", typ: "at+jwt", kid: "key-1" })
      .setIssuedAt()
      .setExpirationTime("15m")
      .sign(key.publicKey);
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2_048 }).privateKey;
    const withRsa = new SignJWT({})
      .setProtectedHeader({ alg: "RS256", typ: "at+jwt", kid: "key-1" })
      .sign(rsa);
    for (const text of [
      `${header("none")}.${payload}.`,
      await withPublicKeyAsSecret,
      await withRsa,
    ]) {
      await expect(verifier.verify(text)).rejects.toMatchObject({ reason: "TOKEN_INVALID" });
    }
  });

  it("[A1] a token expires, five seconds of clock skew allowed", async () => {
    const token = await signNow();
    clock.advance(accessTokenMs + 4_000);
    await verifier.verify(token);
    clock.advance(2_000);
    await expect(verifier.verify(token)).rejects.toMatchObject({ reason: "TOKEN_EXPIRED" });
  });

  it("[A1] a token that claims a longer life than tokens have expires all the same", async () => {
    const token = await signAccessToken(key, {
      ...tokenNow(),
      expireTimeMs: clock.nowMs() + 10 * accessTokenMs,
    });
    await verifier.verify(token);
    clock.advance(accessTokenMs + 6_000);
    await expect(verifier.verify(token)).rejects.toMatchObject({ reason: "TOKEN_EXPIRED" });
  });

  it("[A1] keys are read once for any number of tokens, and again for an unknown key", async () => {
    const token = await signNow();
    await Promise.all(Array.from({ length: 20 }, () => verifier.verify(token)));
    expect(loads).toBe(1);

    listed = [otherKey, key];
    const claims = tokenNow();
    const rotated = signAccessToken(otherKey, claims).then((text) => verifier.verify(text));
    await untilTimer(clock);
    expect(loads).toBe(1);
    clock.advance(1_000);
    expect(await rotated).toEqual(claims);
    expect(loads).toBe(2);
  });

  it("[A1] tokens of unknown keys wait for one read together, so garbage costs little", async () => {
    await verifier.verify(await signNow());
    const garbage = await Promise.all(
      Array.from({ length: 20 }, (_, i) => forge({}, { kid: `unknown-${i}` })),
    );
    const refused = Promise.allSettled(garbage.map((token) => verifier.verify(token)));
    await untilTimer(clock);
    clock.advance(1_000);
    for (const result of await refused) {
      expect(result).toMatchObject({ reason: { reason: "TOKEN_INVALID" } });
    }
    expect(loads).toBe(2);
  });

  it("[R2] while Session is away known keys serve and others are answered UNAVAILABLE", async () => {
    listed = new Error("away");
    const token = await signNow();
    await expect(verifier.verify(token)).rejects.toMatchObject({ reason: "UNAVAILABLE" });

    listed = [key];
    const verified = verifier.verify(token);
    await untilTimer(clock);
    clock.advance(1_000);
    await verified;

    listed = new Error("away again");
    await verifier.verify(token);
  });

  it("[A3] a revoked device's tokens are refused, other devices' are not", async () => {
    const token = await signNow();
    revoke(userId, deviceId);
    await expect(verifier.verify(token)).rejects.toMatchObject({ reason: "TOKEN_REVOKED" });
    const other = { ...tokenNow(), deviceId: "device0000000002" as DeviceId };
    expect(await verifier.verify(await signAccessToken(key, other))).toEqual(other);
  });

  it("[A3] a revocation without a device refuses all of the user's tokens", async () => {
    const verified = await verifier.verify(await signNow());
    expect(verifier.isRevoked(verified)).toBe(false);
    revoke(userId, "");
    expect(verifier.isRevoked(verified)).toBe(true);
    expect(verifier.isRevoked({ ...verified, userId: "user000000000002" as UserId })).toBe(false);
  });

  it("[A3] a token issued after the revocation's time is good, in any order of revocations", async () => {
    const issuedMs = clock.nowMs();
    const token = await signNow();
    revoke(userId, deviceId, issuedMs);
    await verifier.verify(token);
    revoke(userId, deviceId, issuedMs + 1);
    revoke(userId, deviceId, issuedMs);
    await expect(verifier.verify(token)).rejects.toMatchObject({ reason: "TOKEN_REVOKED" });
  });

  it("[A3] revocations are forgotten when their tokens have expired", () => {
    revoke(userId, deviceId);
    clock.advance(accessTokenMs);
    revoke(userId, "device0000000002");
    expect(verifier.revocationCount).toBe(2);
    clock.advance(6_000);
    revoke(userId, "device0000000003");
    expect(verifier.revocationCount).toBe(2);
  });
});

/** Lets promises go on until somebody waits for the clock. */
async function untilTimer(clock: ManualClock): Promise<void> {
  while (clock.nextDueMs() === undefined) await new Promise(setImmediate);
}
