/**
 * Messages to members who are offline, through the provider for Apple's service and Session's
 * tokens, while a stand-in of that service fails as a script has it. Bench and tests share it.
 */
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { sleep, systemClock } from "../mesh/clock.ts";
import { openPglite } from "../mesh/sql-pglite.ts";
import { type ApnsArrival, ApnsStandIn } from "../services/push/apns-stand-in.ts";
import type { ApnsAnswer } from "../services/push/apns-stand-in-checks.ts";
import type { PushOutcome, PushProvider, PushTarget } from "../services/push/push-provider.ts";
import { ApnsPushProvider } from "../services/push/push-provider-apns.ts";
import { apnsTokenOf } from "../services/push/push-under-test.ts";
import { TestSession } from "../services/session/test-session.ts";

/** Each member gets messages in so many channels. */
const channelsEach = 3;
/** Pauses between attempts, where the service does not say how long. */
const pauseMsMin = 20;
const pauseMsMax = 1_000;
const attemptsMax = 20;
/** A connection is cut at each so many-th request. */
export const cutEvery = 499;

/** How a device's token fares. */
export type Fate = "alive" | "unregistered" | "bad" | "registered later";

/** The fate of the n-th member's token: of 100, 92 live. */
export function fateOf(n: number): Fate {
  if (n % 20 === 3) return "unregistered";
  if (n % 50 === 7) return "bad";
  return n % 100 === 11 ? "registered later" : "alive";
}

/** One member's device. */
export interface OfflineDevice {
  n: number;
  fate: Fate;
  target: PushTarget;
  deviceToken: string;
  /** The messages for it, in order, and in which channel. */
  messages: { channelId: string; messageId: bigint }[];
}

/** What was done, and how it stands at the end. */
export interface OfflineRun {
  devices: OfflineDevice[];
  apple: Pick<ApnsStandIn, "taken" | "arrivals" | "connections" | "shown">;
  outcomes: Record<PushOutcome["outcome"], number>;
  /** The devices whose tokens Session has still. */
  listed: Set<string>;
  seconds: number;
}

/** Sends them all. */
export async function pushToOffline(sizes: {
  members: number;
  messages: number;
}): Promise<OfflineRun> {
  await using stack = new AsyncDisposableStack();
  const sql = await openPglite();
  const session = stack.adopt(new TestSession(sql, async () => {}), (session) => session.close());
  await session.restart();
  const apple = stack.adopt(await ApnsStandIn.start(), (apple) => apple.close());
  const { key, topic, ca, url } = apple;
  const urls = { productionUrl: url, developmentUrl: url };
  const provider = stack.adopt(
    await ApnsPushProvider.open({ key, topic, ca, ...urls, clock: systemClock }),
    (provider) => provider.close(),
  );

  const devices: OfflineDevice[] = [];
  for (let n = 0; n < sizes.members; n++) devices.push(await signUp(session, n));
  for (let i = 0; i < sizes.messages; i++) {
    const { n, messages } = devices[i % devices.length]!;
    const channelId = `g-${n}-${messages.length % channelsEach}`;
    messages.push({ channelId, messageId: BigInt(i + 1) });
  }
  const script = failing(devices, session.clock.nowMs());
  apple.script = (arrival) => script(arrival, apple);

  const outcomes = { sent: 0, gone: 0, retry: 0, refused: 0 };
  const count = ({ outcome }: PushOutcome) => outcomes[outcome]++;
  const begin = performance.now();
  await Promise.all(devices.map((device) => pushAll(device, provider, session, count)));
  const seconds = (performance.now() - begin) / 1_000;
  return { devices, apple, outcomes, seconds, listed: await listTokens(session, devices) };
}

async function signUp(session: TestSession, n: number): Promise<OfflineDevice> {
  const { userId, deviceId } = await session.signUp();
  const token = apnsTokenOf(n);
  await session.as({ userId, deviceId }).registerPushToken({ token });
  const deviceToken = token.service.case === "apns" ? token.service.value.deviceToken : "";
  return { n, fate: fateOf(n), target: { userId, deviceId, token }, deviceToken, messages: [] };
}

/** Apple's answers: by the token's fate, else now and then a failure; connections end too. */
function failing(devices: readonly OfflineDevice[], registeredMs: number) {
  const fates = new Map(devices.map(({ deviceToken, fate }) => [deviceToken, fate]));
  let arrivals = 0;
  return ({ deviceToken }: ApnsArrival, apple: ApnsStandIn): ApnsAnswer | undefined => {
    const number = ++arrivals;
    if (number % 211 === 0) apple.goAway();
    if (number % cutEvery === 0) apple.cut();
    const unregistered = (timestamp: number) => ({
      ...{ status: 410, reason: "Unregistered", timestamp },
    });
    const fate = fates.get(deviceToken);
    if (fate === "unregistered") return unregistered(registeredMs + 1);
    if (fate === "registered later") return unregistered(registeredMs - 1);
    if (fate === "bad") return { status: 400, reason: "BadDeviceToken" };
    if (number % 17 === 0) return { status: 503, reason: "ServiceUnavailable" };
    if (number % 23 === 0) return { status: 429, reason: "TooManyRequests", retryAfter: "0" };
    if (number % 41 === 0) return { status: 500, reason: "InternalServerError" };
    return undefined;
  };
}

/** A device's notifications one after the other, until its token is gone. */
async function pushAll(
  { target, messages }: OfflineDevice,
  provider: PushProvider,
  session: TestSession,
  count: (outcome: PushOutcome) => void,
): Promise<void> {
  for (const { channelId, messageId } of messages) {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const result = await provider.send({
        ...{ target, channelId, messageId, collapseId: channelId },
        ...{ title: "A member", body: `Message ${messageId}`, badge: 1 },
        expireTimeMs: systemClock.nowMs() + 3_600_000,
      });
      count(result);
      if (result.outcome === "gone") return deleteToken(session, target, result.sinceMs);
      if (result.outcome !== "retry") break;
      const pauseMs = Math.min(pauseMsMin * 2 ** attempt, pauseMsMax);
      await sleep(systemClock, result.afterMs ?? pauseMs);
    }
  }
}

async function deleteToken(
  session: TestSession,
  { deviceId, token }: PushTarget,
  sinceMs: number | undefined,
): Promise<void> {
  const goneTime = sinceMs === undefined ? undefined : timestampFromMs(sinceMs);
  await session.as().deletePushToken({ deviceId, token, ...(goneTime && { goneTime }) });
}

async function listTokens(
  session: TestSession,
  devices: readonly OfflineDevice[],
): Promise<Set<string>> {
  const usersMax = 300;
  const listed = new Set<string>();
  for (let from = 0; from < devices.length; from += usersMax) {
    const userIds = devices.slice(from, from + usersMax).map(({ target }) => target.userId);
    const { recipients } = await session.as().listPushTargets({ userIds });
    for (const { targets } of recipients) {
      for (const { deviceId } of targets) listed.add(deviceId);
    }
  }
  return listed;
}
