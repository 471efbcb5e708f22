import { timestampMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TokenVerifier } from "../../mesh/access-token-verifier.ts";
import { parseConfig } from "../../mesh/config.ts";
import { sessionConfig } from "./session-config.ts";
import { SigningKeys } from "./signing-keys.ts";
import { TestSession } from "./test-session.ts";

const password = "correct horse";
const dayMs = 86_400_000;

describe("sign-ins", () => {
  let session: TestSession;

  beforeAll(async () => {
    session = await TestSession.open();
  });
  afterAll(() => session.close());

  const refresh = async (refreshToken: string) => {
    const { tokens } = await session.as().refreshTokens({ refreshToken });
    return tokens!.refreshToken;
  };
  const newVerifier = () =>
    new TokenVerifier({
      clock: session.clock,
      accessTokenMs: 900_000,
      loadKeys: async () => (await session.as().listSigningKeys({})).keys,
    });
  /** Whether the device is told its refresh token is nobody's. */
  const expectSignedOut = async (refreshToken: string) =>
    expect(refresh(refreshToken)).rejects.toMatchObject({ reason: "REFRESH_TOKEN_INVALID" });

  describe("tokens", () => {
    it("[A1] an access token is the device's for 15 minutes, a refresh token for 30 days", async () => {
      const { userId, deviceId, tokens } = await session.signUp();
      const nowMs = session.clock.nowMs();
      expect(timestampMs(tokens!.accessExpireTime!)).toBe(nowMs + 900_000);
      expect(timestampMs(tokens!.refreshExpireTime!)).toBe(nowMs + 30 * dayMs);

      const verifier = newVerifier();
      const verified = await verifier.verify(tokens!.accessToken);
      expect(verified).toMatchObject({ userId, deviceId });
      session.clock.advance(906_000);
      await expect(verifier.verify(tokens!.accessToken)).rejects.toMatchObject({
        reason: "TOKEN_EXPIRED",
      });
    });

    it("[A1] the database holds no refresh token and no password", async () => {
      const { tokens, userId } = await session.signUp();
      const [device] = await session.sql.query("SELECT * FROM devices WHERE user_id = $1", [
        userId,
      ]);
      const [user] = await session.sql.query("SELECT * FROM users WHERE user_id = $1", [userId]);
      const bytes = Buffer.from(tokens!.refreshToken, "base64url");
      for (const value of Object.values({ ...device, ...user })) {
        if (value instanceof Uint8Array) expect(bytes.includes(Buffer.from(value))).toBe(false);
        if (typeof value === "string") expect(value).not.toContain(password);
      }
    });
  });

  describe("RefreshTokens", () => {
    it("[A1] answers new tokens of the same device, time after time", async () => {
      const { userId, deviceId, tokens } = await session.signUp();
      const seen = new Set([tokens!.refreshToken]);
      let token = tokens!.refreshToken;
      for (let i = 1; i <= 3; i++) {
        session.clock.advance(60_000);
        const answer = (await session.as().refreshTokens({ refreshToken: token })).tokens!;
        expect(await newVerifier().verify(answer.accessToken)).toMatchObject({ userId, deviceId });
        expect(timestampMs(answer.refreshExpireTime!)).toBe(session.clock.nowMs() + 30 * dayMs);
        token = answer.refreshToken;
        seen.add(token);
      }
      expect(seen.size).toBe(4);
      const { devices } = await session.as({ userId, deviceId }).listDevices({});
      expect(timestampMs(devices[0]!.lastRefreshTime!)).toBe(session.clock.nowMs());
    });

    it("[A1] a client that lost the answer asks again within 10 s and gets the same", async () => {
      const { tokens } = await session.signUp();
      const next = await refresh(tokens!.refreshToken);
      session.clock.advance(10_000);
      expect(await refresh(tokens!.refreshToken)).toBe(next);
      const last = await refresh(next);
      expect(await refresh(next)).toBe(last);
    });

    it("[A1] of several refreshes at once all get the same token", async () => {
      const { tokens } = await session.signUp();
      const answers = await Promise.all(
        Array.from({ length: 5 }, () => refresh(tokens!.refreshToken)),
      );
      expect(new Set(answers).size).toBe(1);
      await refresh(answers[0]!);
    });

    it("[A1] a token used again later ends the sign-in, for whoever holds the newest too", async () => {
      const { userId, deviceId, tokens } = await session.signUp();
      const next = await refresh(tokens!.refreshToken);
      session.clock.advance(10_001);
      await expect(refresh(tokens!.refreshToken)).rejects.toMatchObject({
        reason: "REFRESH_TOKEN_REUSED",
      });
      await expectSignedOut(next);
      await expectSignedOut(tokens!.refreshToken);
      expect(await session.revocationsOf(userId)).toMatchObject([{ userId, deviceId }]);
    });

    it("[A1] a token replaced twice is a reuse at once", async () => {
      const { tokens } = await session.signUp();
      await refresh(await refresh(tokens!.refreshToken));
      await expect(refresh(tokens!.refreshToken)).rejects.toMatchObject({
        reason: "REFRESH_TOKEN_REUSED",
      });
    });

    it("[A1] a token expires after 30 days without a refresh", async () => {
      const { tokens } = await session.signUp();
      session.clock.advance(30 * dayMs);
      await expect(refresh(tokens!.refreshToken)).rejects.toMatchObject({
        reason: "REFRESH_TOKEN_EXPIRED",
      });
    });

    it("[A1] what is none is refused and ends nobody's sign-in", async () => {
      const { tokens } = await session.signUp();
      const token = tokens!.refreshToken;
      const forged = Buffer.from(token, "base64url");
      forged[0]! ^= 1;
      for (const text of ["", "x", "x".repeat(64), `${token}x`, forged.toString("base64url")]) {
        await expectSignedOut(text);
      }
      await refresh(token);
    });
  });

  describe("devices", () => {
    it("[A3] are listed the newest first, the expired ones left out", async () => {
      const { user, userId } = await session.signUp({ deviceName: "old" });
      session.clock.advance(20 * dayMs);
      const logIn = (deviceName: string) =>
        session.as().logIn({ login: user!.username, password, deviceName });
      const phone = await logIn("phone");
      session.clock.advance(1_000);
      const laptop = await logIn("laptop");
      const own = session.as({ userId, deviceId: phone.deviceId });
      const names = async () => (await own.listDevices({})).devices.map((device) => device.name);
      expect(await names()).toEqual(["laptop", "phone", "old"]);
      session.clock.advance(11 * dayMs);
      expect(await names()).toEqual(["laptop", "phone"]);
      const { devices } = await own.listDevices({});
      expect(devices).toMatchObject([
        { deviceId: laptop.deviceId, current: false },
        { deviceId: phone.deviceId, current: true },
      ]);
    });

    it("[A3] a device that is signed out is revoked and can't refresh", async () => {
      const { user, userId, deviceId, tokens } = await session.signUp();
      const other = await session.as().logIn({ login: user!.username, password });
      const verifier = newVerifier();
      await verifier.verify(other.tokens!.accessToken);
      await session.as({ userId, deviceId }).revokeDevice({ deviceId: other.deviceId });

      await expectSignedOut(other.tokens!.refreshToken);
      const revocations = await session.revocationsOf(userId);
      expect(revocations).toMatchObject([{ userId, deviceId: other.deviceId }]);
      verifier.applyRevocation(revocations[0]!);
      await expect(verifier.verify(other.tokens!.accessToken)).rejects.toMatchObject({
        reason: "TOKEN_REVOKED",
      });
      await verifier.verify(tokens!.accessToken);
    });

    it("[A3] another's device, an unknown and a malformed one can't be revoked", async () => {
      const own = session.as(await session.signUp());
      const stranger = await session.signUp();
      for (const deviceId of [stranger.deviceId, "unknown000000000"]) {
        await expect(own.revokeDevice({ deviceId })).rejects.toMatchObject({
          reason: "DEVICE_NOT_FOUND",
        });
      }
      await expect(own.revokeDevice({ deviceId: "x" })).rejects.toMatchObject({
        reason: "FIELD_INVALID",
      });
      await refresh(stranger.tokens!.refreshToken);
    });

    it("[A1] a device signs itself out, and once more does no harm", async () => {
      const device = await session.signUp();
      await session.as(device).logOut({});
      await session.as(device).logOut({});
      await expectSignedOut(device.tokens!.refreshToken);
      const revocations = await session.revocationsOf(device.userId);
      expect(revocations).toMatchObject([{ deviceId: device.deviceId }]);
    });

    it("[A3] a revocation covers tokens that a refresh under way may still issue", async () => {
      const device = await session.signUp();
      await session.as(device).logOut({});
      const [revocation] = await session.revocationsOf(device.userId);
      expect(Number(revocation!.issuedBeforeMs)).toBeGreaterThan(session.clock.nowMs());
    });

    it("[A3] the hundred and first device ends the oldest", async () => {
      const first = await session.signUp({ deviceName: "first" });
      const login = first.user!.username;
      const logIn = () => session.as().logIn({ login, password });
      session.clock.advance(1_000);
      for (let i = 1; i < 100; i++) await logIn();
      expect(await session.revocationsOf(first.userId)).toEqual([]);
      session.clock.advance(1_000);
      await Promise.all([logIn(), logIn()]);
      const own = session.as(first);
      expect((await own.listDevices({})).devices).toHaveLength(100);
      const revocations = await session.revocationsOf(first.userId);
      expect(revocations).toHaveLength(2);
      expect(revocations[0]).toMatchObject({ deviceId: first.deviceId });
      await expectSignedOut(first.tokens!.refreshToken);
    });
  });

  describe("revocations", () => {
    const unsent = async () =>
      (await session.sql.query("SELECT user_id FROM unsent_revocations")).length;

    it("[A3] an append that fails is tried again before the call is answered", async () => {
      const device = await session.signUp();
      session.appendsToFail = 2;
      await session.throughPauses(session.as(device).logOut({}));
      expect(await session.revocationsOf(device.userId)).toHaveLength(1);
      expect(await unsent()).toBe(0);
    });

    it("[A3] while the stream is away the call is answered UNAVAILABLE, and sent soon after", async () => {
      const device = await session.signUp();
      session.appendsToFail = 3;
      const logOut = session.throughPauses(session.as(device).logOut({}));
      await expect(logOut).rejects.toMatchObject({ reason: "UNAVAILABLE" });
      await expectSignedOut(device.tokens!.refreshToken);

      session.clock.advance(5_000);
      await session.service.close();
      expect(await session.revocationsOf(device.userId)).toHaveLength(1);
      expect(await unsent()).toBe(0);
      await session.restart();
    });

    it("[A3] a repeated call sends what the first one could not", async () => {
      const { user, ...device } = await session.signUp();
      const other = await session.as().logIn({ login: user!.username, password });
      session.appendsToFail = 3;
      const revoke = () => session.as(device).revokeDevice({ deviceId: other.deviceId });
      await expect(session.throughPauses(revoke())).rejects.toMatchObject({
        reason: "UNAVAILABLE",
      });
      await expect(revoke()).rejects.toMatchObject({ reason: "DEVICE_NOT_FOUND" });
      expect(await session.revocationsOf(device.userId)).toHaveLength(1);
    });

    it("[R3] what a crash left between database and stream is sent at the next start", async () => {
      const { userId, deviceId } = await session.signUp();
      await session.sql.query(
        "INSERT INTO unsent_revocations (user_id, device_id, issued_before) VALUES ($1, $2, now())",
        [userId, deviceId],
      );
      await session.restart();
      expect(await session.revocationsOf(userId)).toMatchObject([{ deviceId }]);
      expect(await unsent()).toBe(0);
    });

    it("[R3] many that were left are all sent", async () => {
      const { userId } = await session.signUp();
      await session.sql.query(`
        INSERT INTO unsent_revocations (user_id, device_id, issued_before)
        SELECT '${userId}', 'device-' || n, now() FROM generate_series(1, 250) AS n
      `);
      await session.restart();
      expect(await session.revocationsOf(userId)).toHaveLength(250);
    });
  });

  describe("signing keys", () => {
    it("[A1] instances that start at once on an empty database agree on one key", async () => {
      await session.sql.query("DELETE FROM signing_keys");
      const { sql, clock } = session;
      const config = parseConfig(sessionConfig, {});
      const instances = Array.from({ length: 4 }, () => new SigningKeys(sql, clock, config));
      const keys = await Promise.all(instances.map((instance) => instance.current()));
      expect(new Set(keys.map((key) => key.keyId)).size).toBe(1);
      expect(await instances[0]!.list()).toHaveLength(1);
      await session.restart();
    });

    it("[A1] a new key takes over after 30 days, and the old one's tokens stay good", async () => {
      await session.sql.query("DELETE FROM signing_keys");
      await session.restart();
      const device = await session.signUp();
      const keyIds = async () =>
        (await session.as().listSigningKeys({})).keys.map((key) => key.keyId);
      const [first] = await keyIds();
      session.clock.advance(30 * dayMs - 1_000);
      const { user } = device;
      const logIn = () => session.as().logIn({ login: user!.username, password });
      const before = await logIn();
      session.clock.advance(1_000);
      const after = await logIn();

      const listed = await keyIds();
      expect(listed).toHaveLength(2);
      expect(listed[1]).toBe(first);
      const verifier = newVerifier();
      await verifier.verify(before.tokens!.accessToken);
      await verifier.verify(after.tokens!.accessToken);
      session.clock.advance(1_000_000);
      expect(await keyIds()).toEqual([listed[0]]);
    });
  });
});
