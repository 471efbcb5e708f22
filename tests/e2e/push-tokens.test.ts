import { createECDH, randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { createClient, errorReason, SessionService } from "../../edge/sdk/index.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { type Device, newDevices } from "./device.ts";
import { post, reasonIn } from "./raw-http.ts";

// A whole server takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let parley: ParleyUnderTest;
let ann: Device;
beforeAll(async () => {
  parley = await openParley();
  [ann] = (await newDevices(parley.nextUrl, "ann")) as [Device];
});
afterAll(() => parley.stop());

const call = (method: string, body: object) =>
  post(parley.nextUrl(), `parley.session.v1.SessionService/${method}`, body, {
    accessToken: ann.signIn.accessToken,
  });
const subscription = {
  endpoint: "https://fcm.googleapis.com/fcm/send/abc:APA91b",
  p256dh: createECDH("prime256v1").generateKeys(),
  auth: randomBytes(16),
};

it("[A3] a page registers its subscription over the socket", async () => {
  const session = createClient(SessionService, ann.client.transport);
  expect(await session.getWebPushKey({})).toMatchObject({ vapidPublicKey: "" });
  await session.registerPushToken({
    token: { service: { case: "webPush", value: subscription } },
  });
  await session.unregisterPushToken({});
});

it("[A3] an app registers its token over HTTP", async () => {
  const deviceToken = randomBytes(32).toString("hex");
  const apns = { deviceToken, environment: "APNS_ENVIRONMENT_PRODUCTION" };
  expect((await call("RegisterPushToken", { token: { apns } })).status).toBe(200);
  const webPush = {
    endpoint: subscription.endpoint,
    p256dh: subscription.p256dh.toString("base64url"),
    auth: subscription.auth.toString("base64url"),
  };
  expect((await call("RegisterPushToken", { token: { webPush } })).status).toBe(200);
  const inside = { ...webPush, endpoint: "https://127.0.0.1:8500/v1/kv" };
  const refused = await call("RegisterPushToken", { token: { webPush: inside } });
  expect(refused.status).toBe(400);
  expect(reasonIn(refused.body)).toBe("FIELD_INVALID");
});

it("[A3] no device lists where others get pushes, nor deletes it", async () => {
  const { listPushTargets, deletePushToken } = createClient(SessionService, ann.client.transport);
  for (const refused of [listPushTargets({ userIds: [] }), deletePushToken({})]) {
    expect(await refused.then(() => "accepted", errorReason)).toBe("METHOD_NOT_PUBLIC");
  }
  expect((await call("ListPushTargets", { userIds: [] })).status).toBe(404);
});
