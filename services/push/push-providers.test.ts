import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterAll, describe, expect, it } from "vitest";
import { PushTokenSchema } from "../../gen/parley/session/v1/session_pb.js";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { ConfigError, parseConfig } from "../../mesh/config.ts";
import type { LogFields } from "../../mesh/logger.ts";
import { ApnsStandIn } from "./apns-stand-in.ts";
import { pushProviderConfig } from "./push-provider-config.ts";
import { openPushProviders } from "./push-providers.ts";
import { apnsTokenOf, notificationTo } from "./push-under-test.ts";
import { WebPushStandIn } from "./web-push-stand-in.ts";

const folder = mkdtempSync(join(tmpdir(), "parley-push-"));
const apple = await ApnsStandIn.start();
const browsers = await WebPushStandIn.start();
const clock = new ManualClock();
const lines: LogFields[] = [];
const keep = (line: LogFields) => void lines.push(line);
const log = { debug: keep, info: keep, warn: keep, error: keep };

afterAll(async () => {
  rmSync(folder, { recursive: true });
  await apple.close();
  await browsers.close();
});

const keyFile = join(folder, "key.p8");
writeFileSync(keyFile, apple.key.privateKey);
writeFileSync(join(folder, "no.p8"), "none");
const apnsEnvironment = {
  PARLEY_APNS_KEY_FILE: keyFile,
  PARLEY_APNS_KEY_ID: apple.key.keyId,
  PARLEY_APNS_TEAM_ID: apple.key.teamId,
  PARLEY_APNS_TOPIC: apple.topic,
};
const vapidEnvironment = {
  PARLEY_VAPID_PUBLIC_KEY: browsers.vapid.publicKey,
  PARLEY_VAPID_PRIVATE_KEY: browsers.vapid.privateKey,
  PARLEY_VAPID_SUBJECT: browsers.vapid.subject,
};
const open = async (environment: Record<string, string>) =>
  openPushProviders({ config: parseConfig(pushProviderConfig, environment), clock, log });

describe("push providers", () => {
  it("[O2] without settings the log says who would be notified, and nothing of what or where", async () => {
    const providers = await open({});
    const subscription = browsers.subscribe();
    for (const token of [apnsTokenOf(0xabcdef), subscription]) {
      const outcome = await providers.send(notificationTo(token, clock.nowMs()));
      expect(outcome).toEqual({ outcome: "sent" });
    }
    await providers.close();
    const { userId: user_id, deviceId: device_id } = notificationTo(subscription, 0).target;
    expect(lines.slice(-2)).toMatchObject([
      { event: "push_logged", user_id, device_id },
      { event: "push_logged", user_id, device_id },
    ]);
    expect(JSON.stringify(lines)).not.toMatch(/abcdef|https:|Good morning|Ben/);
  });

  it("[N1] what is set up is used, each service for itself", async () => {
    const providers = await open(apnsEnvironment);
    expect(lines.at(-1)).toMatchObject({ event: "push_providers", apns: true, web_push: false });
    await providers.close();
    await (await open({ ...apnsEnvironment, ...vapidEnvironment })).close();
    expect(lines.at(-1)).toMatchObject({ event: "push_providers", apns: true, web_push: true });
  });

  it("[N1] a token of no service is refused", async () => {
    const providers = await open({});
    const outcome = await providers.send(notificationTo(create(PushTokenSchema), clock.nowMs()));
    expect(outcome.outcome).toBe("refused");
  });

  const badSettings: Record<string, [Record<string, string>, string]> = {
    "a key without its id": [
      { PARLEY_APNS_KEY_FILE: keyFile },
      "PARLEY_APNS_KEY_ID, PARLEY_APNS_TEAM_ID, PARLEY_APNS_TOPIC: not set, and needed beside PARLEY_APNS_KEY_FILE",
    ],
    "no file": [
      { ...apnsEnvironment, PARLEY_APNS_KEY_FILE: join(folder, "other.p8") },
      'other.p8": ENOENT',
    ],
    "a file without a key": [
      { ...apnsEnvironment, PARLEY_APNS_KEY_FILE: join(folder, "no.p8") },
      'no.p8": no PKCS #8 key of P-256 in PEM',
    ],
    "a key id of another length": [
      { ...apnsEnvironment, PARLEY_APNS_KEY_ID: "short" },
      'PARLEY_APNS_KEY_ID="short": not 10 characters of A-Z and 0-9',
    ],
    "plain HTTP": [{ PARLEY_APNS_URL: "http://api.push.apple.com" }, "PARLEY_APNS_URL"],
    "half a pair": [
      { PARLEY_VAPID_PUBLIC_KEY: browsers.vapid.publicKey },
      "PARLEY_VAPID_PRIVATE_KEY, PARLEY_VAPID_SUBJECT: not set",
    ],
    "halves of two pairs": [
      { ...vapidEnvironment, PARLEY_VAPID_PRIVATE_KEY: "A".repeat(42).concat("E") },
      "PARLEY_VAPID_PUBLIC_KEY: not the other half of PARLEY_VAPID_PRIVATE_KEY",
    ],
    "nobody to ask": [
      { ...vapidEnvironment, PARLEY_VAPID_SUBJECT: "me" },
      'PARLEY_VAPID_SUBJECT="me": neither mailto:… nor https://…',
    ],
  };
  it.each(Object.entries(badSettings))(
    "[N1] a start with %s ends",
    async (_what, [environment, message]) => {
      const start = open(environment);
      await expect(start).rejects.toBeInstanceOf(ConfigError);
      await expect(start).rejects.toThrow(message);
    },
  );
});
