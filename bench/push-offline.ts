/**
 * Texts to members who are offline, through all of Parley: sent over HTTP, taken from the log by
 * the role push, and brought to a stand-in of Apple's service that fails as a script has it. Bench
 * and tests share it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ApnsArrival, ApnsStandIn } from "../services/push/apns-stand-in.ts";
import type { LoadUser } from "./load-client.ts";
import { startServer } from "./load-server.ts";
import { createGroup, sendText, signUp, times } from "./load-users.ts";
import {
  type Failures,
  failNowAndThen,
  isLive,
  type OfflineDevice,
  registerDevices,
} from "./push-devices.ts";
import type { Backend } from "./scenario.ts";

/** Each member is in one group of each round; each round mixes them in another way. */
const roundSteps = [1, 3, 7, 11];
const membersEach = 20;
/** What is soon due is soon seen. */
const settings = {
  PARLEY_PUSH_DELAY_MS: "1000",
  PARLEY_PUSH_ONLINE_DELAY_MS: "1000",
  PARLEY_SESSION_ACCESS_TOKEN_MS: String(50 * 60_000),
};
/** Until devices show the newest texts: pauses between attempts add up, on a busy machine too. */
const waveMsMax = 180_000;

/** How much there is of it. */
export interface OfflineSizes {
  /** A multiple of 20, and not of 3, 7 or 11. */
  members: number;
  /** Texts to each group, wave after wave: a wave begins when devices show the last one's. */
  waves: readonly number[];
}

/** A group: its channel, its members but for the one who writes. */
export interface OfflineGroup {
  channelId: string;
  devices: readonly OfflineDevice[];
}

/** What was sent at once. */
export interface Wave {
  /** The texts' ids in their order, by the group's channel. */
  messageIds: ReadonlyMap<string, readonly string[]>;
  /** From the last text until the last device showed it. */
  seconds: number;
}

/** What was done, and how it stands at the end. */
export interface OfflineRun {
  devices: readonly OfflineDevice[];
  groups: readonly OfflineGroup[];
  waves: readonly Wave[];
  failures: Failures;
  apple: Pick<ApnsStandIn, "taken" | "arrivals" | "connections" | "cutConnections">;
  /** The users of whom Session has a token. */
  registered: ReadonlySet<string>;
  /** CPU seconds of the role push, where it has processes of its own. */
  cpuSeconds: number | undefined;
}

/** Sends them all. */
export async function pushToOffline(backend: Backend, sizes: OfflineSizes): Promise<OfflineRun> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "parley-push-"));
  stack.defer(() => rmSync(folder, { recursive: true }));
  const apple = stack.adopt(await ApnsStandIn.start(), (apple) => apple.close());
  const environment = { ...settings, ...apple.settings(folder) };
  const server = stack.adopt(await startServer(backend, environment), (server) => server.stop());
  const { urls } = server;

  const beforeMs = Date.now() - 1;
  const [sender, ...users] = await signUp(urls, 1 + sizes.members);
  const devices = await registerDevices(urls, users);
  const failures = failNowAndThen(apple, devices, { beforeMs, registeredMs: Date.now() });
  const groups = await createGroups(urls, sender!, devices);

  const cpuBefore = server.cpu().get("push");
  const waves: Wave[] = [];
  for (const textsEach of sizes.waves) {
    const messageIds = await sendTexts(urls, sender!, groups, textsEach);
    const seconds = await untilShown(apple.taken, newestOf(groups, messageIds));
    waves.push({ messageIds, seconds });
  }
  const cpuAfter = server.cpu().get("push");
  const rows = await server.queryAccounts<{ user_id: string }>(
    "SELECT user_id FROM push_tokens JOIN devices USING (device_id)",
  );
  return {
    ...{ devices, groups, waves, failures, apple },
    registered: new Set(rows.map(({ user_id }) => user_id)),
    cpuSeconds: cpuBefore === undefined ? undefined : cpuAfter! - cpuBefore,
  };
}

function createGroups(
  urls: readonly string[],
  sender: LoadUser,
  devices: readonly OfflineDevice[],
): Promise<OfflineGroup[]> {
  const groups = roundSteps.flatMap((step) => {
    const mixed = devices.map((_, i) => devices[(i * step) % devices.length]!);
    return Array.from({ length: devices.length / membersEach }, (_, i) =>
      mixed.slice(i * membersEach, (i + 1) * membersEach),
    );
  });
  return times(groups.length, async (i) => {
    const users = groups[i]!.map(({ user }) => user);
    return { channelId: await createGroup(urls, [sender, ...users]), devices: groups[i]! };
  });
}

/** Those of one group one after the other. */
async function sendTexts(
  urls: readonly string[],
  sender: LoadUser,
  groups: readonly OfflineGroup[],
  textsEach: number,
): Promise<Map<string, string[]>> {
  const sent = await times(groups.length, async (i) => {
    const { channelId } = groups[i]!;
    const ids: string[] = [];
    while (ids.length < textsEach) ids.push(await sendText(urls, sender, channelId, "hello"));
    return [channelId, ids] as const;
  });
  return new Map(sent);
}

/** What devices that live are to show: the last text of each group. */
function newestOf(groups: readonly OfflineGroup[], messageIds: Wave["messageIds"]): Set<string> {
  return new Set(
    groups.flatMap(({ channelId, devices }) => {
      const messageId = messageIds.get(channelId)!.at(-1)!;
      return devices.filter(isLive).map(({ deviceToken }) => `${deviceToken} ${messageId}`);
    }),
  );
}

/** @returns how long it took, in seconds. What is not shown in time is not waited for. */
async function untilShown(taken: readonly ApnsArrival[], missing: Set<string>): Promise<number> {
  const beganMs = Date.now();
  for (let seen = 0; ; await sleep(50)) {
    for (; seen < taken.length; seen++) {
      const { deviceToken, payload } = taken[seen]!;
      missing.delete(`${deviceToken} ${payload.message_id}`);
    }
    const passedMs = Date.now() - beganMs;
    if (missing.size === 0 || passedMs > waveMsMax) return passedMs / 1_000;
  }
}
