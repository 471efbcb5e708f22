import { createECDH, randomBytes } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ApnsEnvironment } from "../../gen/parley/session/v1/session_pb.js";
import type { Identity } from "../../mesh/rpc.ts";
import { TestSession } from "./test-session.ts";

const password = "correct horse";

const vapidPublicKey = createECDH("prime256v1").generateKeys("base64url");

/** A token as a device gets it from Apple. */
function apnsToken(deviceToken = randomBytes(32).toString("hex")) {
  const value = { deviceToken, environment: ApnsEnvironment.PRODUCTION };
  return { service: { case: "apns" as const, value } };
}

/** A subscription as a browser makes it. */
function subscription(fields: { endpoint?: string; p256dh?: Uint8Array; auth?: Uint8Array } = {}) {
  const value = {
    endpoint: `https://fcm.googleapis.com/fcm/send/${randomBytes(16).toString("base64url")}:APA91b`,
    p256dh: new Uint8Array(createECDH("prime256v1").generateKeys()),
    auth: new Uint8Array(randomBytes(16)),
    ...fields,
  };
  return { service: { case: "webPush" as const, value } };
}

describe("push tokens", () => {
  let session: TestSession;

  beforeAll(async () => {
    session = await TestSession.open({
      PARLEY_WEB_PUSH_PRIVATE_HOSTS: "127.0.0.1:4443",
      PARLEY_VAPID_PUBLIC_KEY: vapidPublicKey,
    });
  });
  afterAll(() => session.close());

  const register = (device: Identity, token: object) =>
    session.as(device).registerPushToken({ token });
  const targetsOf = async (...users: { userId: string }[]) => {
    const userIds = users.map(({ userId }) => userId);
    const { recipients } = await session.as().listPushTargets({ userIds });
    return recipients;
  };
  const anotherDevice = async (username: string): Promise<Identity> => {
    const { user, deviceId } = await session.as().logIn({ login: username, password });
    return { userId: user!.userId, deviceId };
  };

  it("[N1] a page that nobody has signed in on is told the key to subscribe with", async () => {
    expect(await session.as().getWebPushKey({})).toMatchObject({ vapidPublicKey });
  });

  it("[A3] a device's token is listed with its user's settings; others are left out", async () => {
    const [anna, ben] = [await session.signUp(), await session.signUp()];
    const token = subscription();
    await register(anna, token);
    const { deviceId } = anna;
    expect(await targetsOf(ben, anna)).toMatchObject([
      { userId: anna.userId, previews: true, targets: [{ deviceId, token }] },
    ]);
    await session.as(anna).updateSettings({ settings: { pushPreviews: false } });
    expect(await targetsOf(anna)).toMatchObject([{ previews: false }]);
  });

  it("[N2] who is not to be disturbed now is left out, until the time is over", async () => {
    const anna = await session.signUp();
    await register(anna, subscription());
    const set = (doNotDisturb: object) =>
      session.as(anna).updateSettings({
        settings: { doNotDisturb },
        updateMask: { paths: ["do_not_disturb"] },
      });
    const untilTime = timestampFromMs(session.clock.nowMs() + 60_000);
    await set({ on: true, untilTime });
    expect(await targetsOf(anna)).toEqual([]);
    session.clock.advance(60_000);
    expect(await targetsOf(anna)).toHaveLength(1);
    const days = [1, 2, 3, 4, 5, 6, 7];
    await set({ schedule: days.map((weekday) => ({ weekday })) });
    expect(await targetsOf(anna)).toEqual([]);
  });

  it("[A3] what is registered later takes the place of the earlier, of either service", async () => {
    const anna = await session.signUp();
    await register(anna, subscription());
    const token = apnsToken("AB".repeat(32));
    await register(anna, token);
    await register(anna, token);
    const stored = apnsToken("ab".repeat(32));
    expect(await targetsOf(anna)).toMatchObject([{ targets: [{ token: stored }] }]);
    await session.as(anna).unregisterPushToken({});
    expect(await targetsOf(anna)).toEqual([]);
    await session.as(anna).unregisterPushToken({});
  });

  it("[A3] who signs in on a phone takes its token over", async () => {
    const [anna, ben] = [await session.signUp(), await session.signUp()];
    const token = apnsToken();
    await register(anna, token);
    await register(ben, token);
    expect(await targetsOf(anna, ben)).toMatchObject([
      { userId: ben.userId, targets: [{ deviceId: ben.deviceId, token }] },
    ]);
  });

  it("[A3] of many who register one token at once, one has it", async () => {
    const devices = [];
    for (let i = 0; i < 4; i++) devices.push(await session.signUp());
    const token = apnsToken();
    const results = await Promise.allSettled(devices.map((device) => register(device, token)));
    for (const result of results) {
      if (result.status === "rejected") expect(result.reason.reason).toBe("UNAVAILABLE");
    }
    expect(await targetsOf(...devices)).toHaveLength(1);
  });

  it("[A3] a token ends with its device's sign-in, however that ends", async () => {
    const username = "token.owner";
    const anna = await session.signUp({ username });
    const devices = [];
    for (let i = 0; i < 3; i++) devices.push(await anotherDevice(username));
    const [leaving, revoked, other] = devices as [Identity, Identity, Identity];
    for (const device of [anna, ...devices]) await register(device, apnsToken());

    const listed = async () => (await targetsOf(anna))[0]?.targets.map((target) => target.deviceId);
    expect(await listed()).toHaveLength(4);
    await session.as(leaving).logOut({});
    await session.as(anna).revokeDevice({ deviceId: revoked.deviceId });
    expect(await listed()).toEqual([anna.deviceId, other.deviceId].sort());
    await session.as(anna).changePassword({ oldPassword: password, newPassword: "another horse" });
    expect(await listed()).toEqual([anna.deviceId]);
    await session.as(anna).deleteAccount({ password: "another horse" });
    expect(await targetsOf(anna)).toEqual([]);
    await expect(register(leaving, apnsToken())).rejects.toMatchObject({ reason: "TOKEN_REVOKED" });
  });

  it("[A3] a sign-in that expired gets no pushes", async () => {
    const anna = await session.signUp();
    await register(anna, apnsToken());
    session.clock.advance(31 * 86_400_000);
    expect(await targetsOf(anna)).toEqual([]);
  });

  it("[A3] of an account the ten devices that registered last get pushes", async () => {
    const username = "many.devices";
    const devices: Identity[] = [await session.signUp({ username })];
    for (let i = 0; i < 11; i++) devices.push(await anotherDevice(username));
    for (const device of devices) {
      session.clock.advance(1);
      await register(device, apnsToken());
    }
    const [recipient] = await targetsOf(devices[0]!);
    const expected = devices.slice(2).map(({ deviceId }) => deviceId);
    expect(recipient!.targets.map(({ deviceId }) => deviceId)).toEqual(expected.sort());
  });

  describe("DeletePushToken", () => {
    it("[N1] deletes what was registered before it was gone, and not what came later", async () => {
      const { deviceId, ...anna } = await session.signUp();
      const device = { ...anna, deviceId };
      const token = apnsToken();
      const deleteGone = (goneMs?: number) =>
        session.as().deletePushToken({
          deviceId,
          token,
          ...(goneMs !== undefined && { goneTime: timestampFromMs(goneMs) }),
        });
      const registeredMs = session.clock.nowMs();
      await register(device, token);
      await deleteGone(registeredMs - 1);
      expect(await targetsOf(anna)).toHaveLength(1);
      await deleteGone(registeredMs);
      expect(await targetsOf(anna)).toEqual([]);

      await register(device, token);
      await deleteGone();
      expect(await targetsOf(anna)).toEqual([]);
      await deleteGone();
    });

    it("[N1] leaves another token, and another device's", async () => {
      const anna = await session.signUp();
      const ben = await session.signUp();
      const [old, token] = [subscription(), subscription()];
      await register(anna, token);
      await session.as().deletePushToken({ deviceId: anna.deviceId, token: old });
      await session.as().deletePushToken({ deviceId: ben.deviceId, token });
      expect(await targetsOf(anna)).toMatchObject([{ targets: [{ token }] }]);
    });
  });

  describe("what is refused", () => {
    let anna: Identity;
    beforeAll(async () => {
      anna = await session.signUp();
    });

    const badTokens: Record<string, { token?: object; field: string }> = {
      nothing: { field: "token" },
      "no service": { token: {}, field: "token" },
      "a short device token": { token: apnsToken("ab"), field: "token.apns.device_token" },
      "a long device token": {
        token: apnsToken("ab".repeat(101)),
        field: "token.apns.device_token",
      },
      "half a byte": { token: apnsToken("a".repeat(65)), field: "token.apns.device_token" },
      "a path": { token: apnsToken(`${"../".repeat(30)}`), field: "token.apns.device_token" },
      "an unknown environment": {
        token: {
          service: { case: "apns", value: { deviceToken: "ab".repeat(32), environment: 7 } },
        },
        field: "token.apns.environment",
      },
      "plain HTTP": {
        token: subscription({ endpoint: "http://fcm.googleapis.com/x" }),
        field: "token.web_push.endpoint",
      },
      "no URL": { token: subscription({ endpoint: "x" }), field: "token.web_push.endpoint" },
      "an endpoint with a password": {
        token: subscription({ endpoint: "https://a:b@fcm.googleapis.com/x" }),
        field: "token.web_push.endpoint",
      },
      "the machine itself": {
        token: subscription({ endpoint: "https://127.0.0.1:8500/v1/kv" }),
        field: "token.web_push.endpoint",
      },
      "a cloud's metadata": {
        token: subscription({ endpoint: "https://169.254.169.254/latest" }),
        field: "token.web_push.endpoint",
      },
      "a long endpoint": {
        token: subscription({ endpoint: `https://fcm.googleapis.com/${"x".repeat(1_000)}` }),
        field: "token.web_push.endpoint",
      },
      "a short key": {
        token: subscription({ p256dh: new Uint8Array(64) }),
        field: "token.web_push.p256dh",
      },
      "a key that is on no curve": {
        token: subscription({ p256dh: new Uint8Array(65).fill(4) }),
        field: "token.web_push.p256dh",
      },
      "a short secret": {
        token: subscription({ auth: new Uint8Array(15) }),
        field: "token.web_push.auth",
      },
    };
    it.each(Object.entries(badTokens))("[A3] %s", async (_what, { token, field }) => {
      const refused = session.as(anna).registerPushToken(token ? { token } : {});
      await expect(refused).rejects.toMatchObject({
        reason: "FIELD_INVALID",
        details: { fieldViolations: [{ field }] },
      });
    });

    it("[A3] a private host passes where settings name it", async () => {
      await register(anna, subscription({ endpoint: "https://127.0.0.1:4443/push/1" }));
    });

    it("[A3] lists of no users and of more than 300", async () => {
      const list = (count: number) =>
        session.as().listPushTargets({ userIds: new Array(count).fill("a".repeat(16)) });
      await expect(list(0)).rejects.toMatchObject({ reason: "FIELD_INVALID" });
      await expect(list(301)).rejects.toMatchObject({ reason: "FIELD_INVALID" });
      expect(await list(300)).toMatchObject({ recipients: [] });
    });
  });
});
