/** What docs/PUSH.md promises of notifications, and where a run has not kept it. */
import type { ApnsArrival } from "../services/push/apns-stand-in.ts";
import { isDead, isLive, type OfflineDevice } from "./push-devices.ts";
import type { OfflineRun } from "./push-offline.ts";

/** How often what has gone wrong: all 0 where nothing has. */
export interface PushFaults {
  /** Texts that no later one of their wave stood in for, and that a device was not notified of. */
  lost: number;
  /** Texts that a device was notified of again, though the first answer can't have been lost. */
  repeated: number;
  /** Notifications that took the place of one of a later text. */
  overtaken: number;
  /** Notifications under another collapse id than their channel's, or of no text of the run. */
  strange: number;
  /** Notifications that ended tokens took. */
  toDead: number;
  /** Ended tokens that Session has still. */
  deadKept: number;
  /** Tokens that Session has no more, though they live or were registered later. */
  liveGone: number;
}

/** Looks through all that Apple's service took over, and what Session has. */
export function faultsOf(run: OfflineRun): PushFaults {
  const { devices, groups, apple, registered } = run;
  const faults = { lost: 0, repeated: 0, overtaken: 0, strange: 0 };
  const taken = Map.groupBy(apple.taken, ({ deviceToken, payload }) =>
    keyOf(deviceToken, payload.channel_id),
  );
  for (const group of groups) {
    const waves = run.waves.map(({ messageIds }) => messageIds.get(group.channelId)!);
    for (const { deviceToken } of group.devices.filter(isLive)) {
      const arrivals = taken.get(keyOf(deviceToken, group.channelId)) ?? [];
      count(faults, waves, arrivals, apple.cutConnections);
    }
  }
  const isRegistered = ({ user }: OfflineDevice) => registered.has(user.userId);
  const live = new Set(devices.filter(isLive).map(({ deviceToken }) => deviceToken));
  return {
    ...faults,
    toDead: apple.taken.filter(({ deviceToken }) => !live.has(deviceToken)).length,
    deadKept: devices.filter((device) => isDead(device) && isRegistered(device)).length,
    liveGone: devices.filter((device) => !isDead(device) && !isRegistered(device)).length,
  };
}

/** What one device was told of one channel. */
function count(
  faults: Pick<PushFaults, "lost" | "repeated" | "overtaken" | "strange">,
  waves: readonly (readonly string[])[],
  arrivals: readonly ApnsArrival[],
  cutConnections: ReadonlySet<number>,
): void {
  const places = new Map(waves.flat().map((messageId, place) => [messageId, place]));
  const told = new Set(arrivals.map(({ payload }) => payload.message_id as string));
  faults.lost += waves.filter((messageIds) => !told.has(messageIds.at(-1)!)).length;
  for (const [i, { collapseId, payload }] of arrivals.entries()) {
    if (collapseId !== payload.channel_id || !places.has(payload.message_id)) faults.strange++;
    const before = arrivals[i - 1];
    if (!before) continue;
    const later = places.get(payload.message_id)! - places.get(before.payload.message_id)!;
    if (later < 0) faults.overtaken++;
    // On a connection that was cut the answer may have been lost: then nobody knows.
    if (later === 0 && !cutConnections.has(before.connection)) faults.repeated++;
  }
}

function keyOf(deviceToken: string, channelId: string): string {
  return `${deviceToken} ${channelId}`;
}
