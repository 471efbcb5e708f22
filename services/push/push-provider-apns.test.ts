import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApnsEnvironment } from "../../gen/parley/session/v1/session_pb.js";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { TcpProxy } from "../../mesh/tcp-proxy.ts";
import { ApnsStandIn } from "./apns-stand-in.ts";
import type { ApnsAnswer } from "./apns-stand-in-checks.ts";
import { apnsAnswers } from "./push-answers.ts";
import type { PushNotification } from "./push-provider.ts";
import { ApnsPushProvider } from "./push-provider-apns.ts";
import { apnsTokenOf, channelId, notificationTo } from "./push-under-test.ts";

const minuteMs = 60_000;

let clock: ManualClock;
let apple: ApnsStandIn;
let provider: ApnsPushProvider;

/** Begins with another stand-in. */
async function restart(options: { streamsMax?: number } = {}): Promise<void> {
  await provider?.close();
  await apple?.close();
  apple = await ApnsStandIn.start({ ...options, nowMs: () => clock.nowMs() });
  provider = await openProvider();
}

function openProvider(url = apple.url): Promise<ApnsPushProvider> {
  const { key, topic, ca } = apple;
  return ApnsPushProvider.open({
    ...{ key, topic, ca, clock },
    productionUrl: url,
    developmentUrl: "https://127.0.0.1:1",
  });
}

const send = (n = 1, fields: Partial<PushNotification> = {}) =>
  provider.send(notificationTo(apnsTokenOf(n), clock.nowMs(), fields));
const arrived = (count: number) => vi.waitFor(() => expect(apple.arrivals).toBe(count));
const tokensSent = () => new Set(apple.taken.map(({ headers }) => headers.authorization));

/** A script whose first streams hang until they are let go. */
function holdFirst(count: number): () => void {
  const held = Promise.withResolvers<undefined>();
  let holding = count;
  apple.script = () => (holding-- > 0 ? held.promise : undefined);
  return () => held.resolve(undefined);
}

beforeEach(async () => {
  clock = new ManualClock();
  await restart();
});
afterEach(async () => {
  await provider.close();
  await apple.close();
});

describe("what is sent to Apple", () => {
  it("[N1] a notification has its device, channel, texts, badge and end", async () => {
    expect(await send(7)).toEqual({ outcome: "sent" });
    const { service } = apnsTokenOf(7);
    expect(apple.taken).toMatchObject([
      {
        deviceToken: service.case === "apns" && service.value.deviceToken,
        collapseId: channelId,
        headers: {
          "apns-topic": apple.topic,
          "apns-push-type": "alert",
          "apns-priority": "10",
          "apns-expiration": String(clock.nowMs() / 1_000 + 3_600),
        },
        payload: {
          aps: {
            alert: { title: "Ben", body: "Good morning" },
            badge: 3,
            "thread-id": channelId,
          },
          channel_id: channelId,
          message_id: "42",
        },
      },
    ]);
  });

  it("[N2] without previews there is no text, without a count no badge", async () => {
    const { body, badge, ...bare } = notificationTo(apnsTokenOf(1), clock.nowMs());
    await provider.send(bare);
    const { aps } = apple.taken[0]!.payload;
    expect(aps.alert).toEqual({ title: "Ben" });
    expect(aps).not.toHaveProperty("badge");
  });

  it("[N1] a long text is cut, a long collapse id is made short", async () => {
    const body = "👋\té".repeat(2_000);
    expect(await send(1, { body, collapseId: "x".repeat(65) })).toEqual({ outcome: "sent" });
    const [{ payload, collapseId }] = apple.taken as [(typeof apple.taken)[0]];
    expect(payload.aps.alert.body).toMatch(/^(👋\té)+.*…$/u);
    expect(Buffer.byteLength(JSON.stringify(payload))).toBeGreaterThan(4_080);
    expect(collapseId).toMatch(/^[0-9a-f]{64}$/);
  });

  it("[N1] what nobody should see any more is not sent", async () => {
    const expired = await send(1, { expireTimeMs: clock.nowMs() });
    expect(expired).toEqual({ outcome: "refused", reason: "expired" });
    expect(apple.arrivals).toBe(0);
  });

  it("[N1] a token of Apple's other service goes there", async () => {
    const token = apnsTokenOf(1, ApnsEnvironment.DEVELOPMENT);
    const elsewhere = await provider.send(notificationTo(token, clock.nowMs()));
    expect(elsewhere).toEqual({ outcome: "retry" });
    expect(apple.arrivals).toBe(0);
  });
});

describe("what Apple answers", () => {
  const rows = apnsAnswers.filter(({ status }) => status > 0);
  it.each(rows)("[N1] $status $reason: $outcome", async ({ status, reason, outcome, afterMs }) => {
    const answer: ApnsAnswer = { status, reason: reason ?? "Other" };
    apple.script = () => answer;
    const result = await send();
    expect(result.outcome).toBe(outcome);
    expect(apple.arrivals).toBe(1);
    if (result.outcome === "retry") expect(result.afterMs).toBe(afterMs);
    if (result.outcome === "refused") expect(result.reason).toBe("Other");
  });

  it("[N1] a status that is not documented: from 500 on it is tried again", async () => {
    apple.script = () => ({ status: 599 });
    expect(await send()).toEqual({ outcome: "retry" });
    apple.script = () => ({ status: 418 });
    expect(await send()).toEqual({ outcome: "refused", reason: "status 418" });
  });

  it("[N1] 410 says since when the token is gone", async () => {
    apple.script = () => ({ status: 410, reason: "Unregistered", timestamp: 1_700_000_000_000 });
    expect(await send()).toEqual({ outcome: "gone", sinceMs: 1_700_000_000_000 });
  });

  it("[N1] Retry-After is heeded, in seconds and as a date, up to an hour", async () => {
    apple.script = () => ({ status: 503, retryAfter: "7" });
    expect(await send()).toEqual({ outcome: "retry", afterMs: 7_000 });
    const date = new Date(clock.nowMs() + 90_000).toUTCString();
    apple.script = () => ({ status: 429, reason: "TooManyRequests", retryAfter: date });
    expect(await send()).toEqual({ outcome: "retry", afterMs: 90_000 });
    apple.script = () => ({ status: 503, retryAfter: "99999999" });
    expect(await send()).toEqual({ outcome: "retry", afterMs: 3_600_000 });
  });

  it("[N1] after Shutdown the next request takes another connection", async () => {
    apple.script = () => ({ status: 503, reason: "Shutdown" });
    await send();
    apple.script = () => undefined;
    expect(await send()).toEqual({ outcome: "sent" });
    expect(apple.connections).toBe(2);
  });
});

describe("the token for Apple", () => {
  it("[N1] is one for all requests, renewed when it is 40 minutes old", async () => {
    for (const minutes of [0, 10, 29]) {
      clock.advance(minutes * minuteMs);
      expect(await send()).toEqual({ outcome: "sent" });
    }
    expect(tokensSent().size).toBe(1);
    clock.advance(minuteMs);
    expect(await send()).toEqual({ outcome: "sent" });
    expect(tokensSent().size).toBe(2);
  });

  it("[N1] is renewed when Apple calls it expired, once for all requests", async () => {
    clock.stepWallClock(-45 * minuteMs);
    await send();
    clock.stepWallClock(45 * minuteMs);
    clock.advance(21 * minuteMs);
    const outcomes = await Promise.all([send(1), send(2), send(3)]);
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(["sent", "sent", "sent"]);
    expect(tokensSent().size).toBe(2);
  });

  it("[N1] is not renewed before it is 20 minutes old", async () => {
    apple.script = () => ({ status: 403, reason: "ExpiredProviderToken" });
    expect(await send()).toEqual({ outcome: "retry", afterMs: minuteMs });
    expect(apple.arrivals).toBe(1);
    apple.script = () => undefined;
    expect(await send()).toEqual({ outcome: "sent" });
  });

  it("[N1] of another key is refused", async () => {
    const { key } = await ApnsStandIn.start().then(async (other) => {
      await other.close();
      return other;
    });
    const { topic, ca, url } = apple;
    const stranger = await ApnsPushProvider.open({
      ...{ key, topic, ca, clock, productionUrl: url, developmentUrl: url },
    });
    const outcome = await stranger.send(notificationTo(apnsTokenOf(1), clock.nowMs()));
    expect(outcome).toEqual({ outcome: "refused", reason: "InvalidProviderToken" });
    await stranger.close();
  });
});

describe("the connection to Apple", () => {
  it("[N1] is one for all requests", async () => {
    await Promise.all(Array.from({ length: 300 }, (_, n) => send(n)));
    expect(apple.taken).toHaveLength(300);
    expect(apple.connections).toBe(1);
  });

  it("[N1] has at most as many streams under way as Apple allows", async () => {
    await restart({ streamsMax: 3 });
    const outcomes = await Promise.all(Array.from({ length: 40 }, (_, n) => send(n)));
    expect(outcomes.every(({ outcome }) => outcome === "sent")).toBe(true);
    expect(apple.taken).toHaveLength(40);
    expect(apple.streamsAtOnce).toBe(3);
  });

  it("[N1] that ends (GOAWAY) answers what it has read; the rest takes a new one", async () => {
    const letGo = holdFirst(3);
    const sending = [send(1), send(2), send(3)];
    await arrived(3);
    apple.goAway(1);
    await arrived(5);
    letGo();
    expect(await Promise.all(sending)).toEqual(new Array(3).fill({ outcome: "sent" }));
    expect(apple.connections).toBe(2);
    const devices = apple.taken.map(({ deviceToken }) => Number.parseInt(deviceToken, 16));
    expect(devices.sort()).toEqual([1, 2, 3]);
  });

  it("[N1] that is cut: what was under way is to be sent again, the next takes a new one", async () => {
    holdFirst(2);
    const sending = [send(1), send(2)];
    await arrived(2);
    apple.cut();
    expect(await Promise.all(sending)).toEqual(new Array(2).fill({ outcome: "retry" }));
    expect(await send(3)).toEqual({ outcome: "sent" });
  });

  it("[N1] a stream that hangs is given up after 10 s; the others go on", async () => {
    holdFirst(1);
    const slow = send(1);
    await arrived(1);
    expect(await send(2)).toEqual({ outcome: "sent" });
    clock.advance(10_000);
    expect(await slow).toEqual({ outcome: "retry" });
    expect(await send(3)).toEqual({ outcome: "sent" });
    expect(apple.connections).toBe(1);
  });

  it("[N1] one stream that hangs where Apple allows one: who waits is told, and goes on after", async () => {
    await restart({ streamsMax: 1 });
    holdFirst(1);
    const sending = [send(1), send(2)];
    await arrived(1);
    clock.advance(10_000);
    expect(await Promise.all(sending)).toEqual(new Array(2).fill({ outcome: "retry" }));
    expect(await send(3)).toEqual({ outcome: "sent" });
  });

  it("[R1] a service that can't be reached is left alone for a while", async () => {
    await apple.close();
    for (let i = 0; i < 2; i++) expect(await send()).toEqual({ outcome: "retry" });
    expect(await send()).toEqual({ outcome: "retry", afterMs: 1_000 });
    clock.advance(400);
    expect(await send()).toEqual({ outcome: "retry", afterMs: 600 });
    clock.advance(600);
    expect(await send()).toEqual({ outcome: "retry", afterMs: 2_000 });
  });

  it("[R3] and found again when it is back", async () => {
    const proxy = await TcpProxy.start(new URL(apple.url).host);
    await provider.close();
    provider = await openProvider(`https://${proxy.address}`);
    proxy.cut();
    for (let i = 0; i < 3; i++) expect((await send()).outcome).toBe("retry");
    proxy.restore();
    clock.advance(1_000);
    expect(await send()).toEqual({ outcome: "sent" });
    await proxy.stop();
  });

  it("[N1] that is dead without a word is found out and replaced", async () => {
    const proxy = await TcpProxy.start(new URL(apple.url).host);
    await provider.close();
    provider = await openProvider(`https://${proxy.address}`);
    await send(1);
    proxy.hang();
    const slow = send(2);
    // Until the request is under way.
    await new Promise(setImmediate);
    clock.advance(10_000);
    expect(await slow).toEqual({ outcome: "retry" });
    clock.advance(5_000);
    proxy.restore();
    expect(await send(3)).toEqual({ outcome: "sent" });
    expect(apple.connections).toBe(2);
    await proxy.stop();
  });

  it("[N1] a closed provider sends nothing", async () => {
    holdFirst(1);
    const sending = send(1);
    await arrived(1);
    await provider.close();
    expect(await sending).toEqual({ outcome: "retry" });
    expect(await send(2)).toEqual({ outcome: "retry" });
    expect(apple.taken).toEqual([]);
  });
});
