import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type PushToken, PushTokenSchema } from "../../gen/parley/session/v1/session_pb.js";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { webPushAnswers } from "./push-answers.ts";
import type { PushNotification } from "./push-provider.ts";
import { WebPushProvider } from "./push-provider-web-push.ts";
import { channelId, notificationTo } from "./push-under-test.ts";
import { decryptWebPush } from "./web-push-decrypt.ts";
import { WebPushStandIn } from "./web-push-stand-in.ts";

let clock: ManualClock;
let browsers: WebPushStandIn;
let provider: WebPushProvider;
let token: PushToken;

function newProvider(privateHosts: ReadonlySet<string>, vapid = browsers.vapid): WebPushProvider {
  return new WebPushProvider({ vapid, privateHosts, ca: browsers.ca, clock });
}

beforeEach(async () => {
  clock = new ManualClock();
  browsers = await WebPushStandIn.start();
  provider = newProvider(new Set([browsers.host]));
  token = browsers.subscribe();
});
afterEach(async () => {
  await provider.close();
  await browsers.close();
});

const send = (fields: Partial<PushNotification> = {}, to = token) =>
  provider.send(notificationTo(to, clock.nowMs(), fields));

/** A subscription like another one, but for its endpoint. */
function withEndpoint(endpoint: string): PushToken {
  const { service } = token;
  if (service.case !== "webPush") throw new Error("not a subscription");
  const { p256dh, auth } = service.value;
  const value = { endpoint, p256dh, auth };
  return create(PushTokenSchema, { service: { case: "webPush", value } });
}

describe("what is sent to a browser", () => {
  it("[N1] only its page can read it", async () => {
    expect(await send()).toEqual({ outcome: "sent" });
    expect(browsers.taken).toMatchObject([
      {
        headers: {
          ttl: "3600",
          urgency: "high",
          topic: expect.stringMatching(/^[A-Za-z0-9_-]{32}$/),
        },
        payload: {
          ...{ title: "Ben", body: "Good morning", badge: 3 },
          ...{ channel_id: channelId, message_id: "42" },
        },
      },
    ]);
  });

  it("[N1] what is of one channel has one topic, so that the service keeps the last", async () => {
    await send({ messageId: 43n });
    await send({ messageId: 44n });
    await send({ collapseId: "g-another" });
    const [first, second, other] = browsers.taken.map(({ headers }) => headers.topic);
    expect(second).toBe(first);
    expect(other).not.toBe(first);
  });

  it("[N2] without previews there is no text, without a count no badge", async () => {
    const { body, badge, ...bare } = notificationTo(token, clock.nowMs());
    await provider.send(bare);
    expect(Object.keys(browsers.taken[0]!.payload).sort()).toEqual([
      ...["channel_id", "message_id", "title"],
    ]);
  });

  it("[N1] a long text is cut so that the body has at most 4,096 bytes", async () => {
    expect(await send({ body: "👋".repeat(2_000) })).toEqual({ outcome: "sent" });
    const [{ payload, headers }] = browsers.taken as [(typeof browsers.taken)[0]];
    expect(payload.body).toMatch(/^(👋)+…$/u);
    expect(Number(headers["content-length"])).toBeLessThanOrEqual(4_096);
    expect(Number(headers["content-length"])).toBeGreaterThan(4_080);
  });

  it("[N1] what nobody should see any more is not sent", async () => {
    const expired = await send({ expireTimeMs: clock.nowMs() });
    expect(expired).toEqual({ outcome: "refused", reason: "expired" });
    expect(browsers.arrivals).toBe(0);
  });

  it("[N1] the stand-in decrypts the example of RFC 8291", () => {
    const body =
      "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
    const privateKey = Buffer.from("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94", "base64url");
    const auth = Buffer.from("BTBZMqHH6r4Tts7J_aSIgg", "base64url");
    const text = decryptWebPush(Buffer.from(body, "base64url"), { privateKey, auth });
    expect(text).toBe("When I grow up, I want to be a watermelon");
  });
});

describe("what a browser's service answers", () => {
  const rows = webPushAnswers.filter(({ status }) => status > 0);
  it.each(rows)("[N1] $status: $outcome", async ({ status, outcome }) => {
    browsers.script = () => ({ status, headers: { location: "https://169.254.169.254/" } });
    const result = await send();
    expect(result.outcome).toBe(outcome);
    expect(browsers.arrivals).toBe(1);
    if (result.outcome === "refused") expect(result.reason).toBe(`status ${status}`);
  });

  it("[N1] Retry-After is heeded", async () => {
    browsers.script = () => ({ status: 429, headers: { "retry-after": "20" } });
    expect(await send()).toEqual({ outcome: "retry", afterMs: 20_000 });
  });

  it("[N1] another server's keys are refused", async () => {
    const other = await WebPushStandIn.start();
    await other.close();
    const stranger = newProvider(new Set([browsers.host]), other.vapid);
    const outcome = await stranger.send(notificationTo(token, clock.nowMs()));
    expect(outcome).toEqual({ outcome: "refused", reason: "status 403" });
    await stranger.close();
  });

  it("[N1] an answer that stays out for 10 s is not waited for", async () => {
    browsers.script = () => new Promise(() => {});
    const slow = send();
    await vi.waitFor(() => expect(browsers.arrivals).toBe(1));
    clock.advance(10_000);
    expect(await slow).toEqual({ outcome: "retry" });
  });

  it("[R1] a service that can't be reached is left alone for a while, another is not", async () => {
    const away = await WebPushStandIn.start();
    const there = away.subscribe();
    await away.close();
    provider = newProvider(new Set([browsers.host, away.host]));
    for (let i = 0; i < 3; i++) expect(await send({}, there)).toEqual({ outcome: "retry" });
    expect(await send({}, there)).toEqual({ outcome: "retry", afterMs: 1_000 });
    expect(await send()).toEqual({ outcome: "sent" });
  });
});

describe("where a subscription leads", () => {
  it("[N1] a private address is refused, given as an address or by a name", async () => {
    provider = newProvider(new Set());
    const port = browsers.host.split(":")[1];
    for (const host of ["127.0.0.1", "localhost", "[::1]"]) {
      const to = withEndpoint(`https://${host}:${port}/push/1`);
      expect(await send({}, to)).toEqual({ outcome: "refused", reason: "HostNotPublic" });
    }
    expect(browsers.arrivals).toBe(0);
  });
});
