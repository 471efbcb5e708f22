/** Devices of members who are offline, and how Apple's service, in their stead, fares with them. */
import type { ApnsStandIn } from "../services/push/apns-stand-in.ts";
import type { ApnsAnswer } from "../services/push/apns-stand-in-checks.ts";
import type { LoadUser } from "./load-client.ts";
import { registerPushToken, times } from "./load-users.ts";

/** How a device's token fares. */
export type Fate = "alive" | "unregistered" | "bad" | "registered later";

/** A member's only device. */
export interface OfflineDevice {
  user: LoadUser;
  fate: Fate;
  deviceToken: string;
}

/** The fate of the n-th member's token: of 100, 92 live. */
export function fateOf(n: number): Fate {
  if (n % 20 === 3) return "unregistered";
  if (n % 50 === 7) return "bad";
  return n % 100 === 11 ? "registered later" : "alive";
}

/** Has pushes for these users go to tokens of Apple's, one each. */
export async function registerDevices(
  urls: readonly string[],
  users: readonly LoadUser[],
): Promise<OfflineDevice[]> {
  return times(users.length, async (n) => {
    const user = users[n]!;
    const deviceToken = n.toString(16).padStart(64, "0");
    await registerPushToken(urls, user, deviceToken);
    return { user, fate: fateOf(n), deviceToken };
  });
}

/** Whether Apple's service takes notifications for it. */
export function isLive({ fate }: OfflineDevice): boolean {
  return fate === "alive";
}

/** Whether its token was ended, and is to be deleted. */
export function isDead({ fate }: OfflineDevice): boolean {
  return fate === "unregistered" || fate === "bad";
}

/** How Apple's service has failed, by the status that it answered, or what it did. */
export type Failures = Map<number | "GOAWAY" | "cut", number>;

/**
 * Apple's answers: by the token's fate, else now and then a failure; connections end too.
 * @returns what it counts
 */
export function failNowAndThen(
  apple: ApnsStandIn,
  devices: readonly OfflineDevice[],
  times: { beforeMs: number; registeredMs: number },
): Failures {
  const failures: Failures = new Map();
  const count = (what: number | "GOAWAY" | "cut") =>
    failures.set(what, (failures.get(what) ?? 0) + 1);
  const fates = new Map(devices.map(({ deviceToken, fate }) => [deviceToken, fate]));
  let arrivals = 0;
  apple.script = (arrival) => {
    const number = ++arrivals;
    if (number % 211 === 0) {
      count("GOAWAY");
      apple.goAway();
    }
    if (number % 499 === 0) {
      count("cut");
      apple.cut();
    }
    const answer = fatal(fates.get(arrival.deviceToken), times) ?? passing(number);
    if (answer) count(answer.status);
    return answer;
  };
  return failures;
}

function fatal(
  fate: Fate | undefined,
  { beforeMs, registeredMs }: { beforeMs: number; registeredMs: number },
): ApnsAnswer | undefined {
  const unregistered = { status: 410, reason: "Unregistered" };
  if (fate === "unregistered") return { ...unregistered, timestamp: registeredMs };
  if (fate === "registered later") return { ...unregistered, timestamp: beforeMs };
  return fate === "bad" ? { status: 400, reason: "BadDeviceToken" } : undefined;
}

function passing(number: number): ApnsAnswer | undefined {
  if (number % 17 === 0) return { status: 503, reason: "ServiceUnavailable" };
  if (number % 23 === 0) return { status: 429, reason: "TooManyRequests", retryAfter: "1" };
  return number % 41 === 0 ? { status: 500, reason: "InternalServerError" } : undefined;
}
