/** Pushes to members who are offline, through Apple's service, which fails now and then. */
import { isDead, isLive } from "./push-devices.ts";
import { faultsOf } from "./push-faults.ts";
import { pushToOffline } from "./push-offline.ts";
import type { ScenarioOptions, ScenarioResult } from "./scenario.ts";

/** The stand-in of Apple's service runs in the generator's process. */
export async function push({ quick, backend }: ScenarioOptions): Promise<ScenarioResult> {
  // 50 texts to each of 200 groups.
  const sizes = quick ? { members: 100, waves: [1, 1, 8] } : { members: 1_000, waves: [1, 1, 48] };
  const run = await pushToOffline(backend, sizes);
  const { devices, groups, waves, apple, failures, cpuSeconds } = run;
  const faults = faultsOf(run);
  const last = waves.at(-1)!;
  const inLast = new Set([...last.messageIds.values()].flat());
  const notified = apple.taken.filter(({ payload }) => inLast.has(payload.message_id)).length;
  const wanted = groups.reduce((sum, group) => sum + group.devices.filter(isLive).length, 0);
  const texts = waves.flatMap(({ messageIds }) => [...messageIds.values()].flat()).length;
  const failed = [...failures].map(([what, times]) => `${what}: ${times}`);
  return {
    figures: [
      { name: "texts", value: texts, unit: "texts" },
      { name: "devices that live", value: devices.filter(isLive).length, unit: "devices" },
      { name: "devices whose tokens end", value: devices.filter(isDead).length, unit: "devices" },
      { name: "notifications taken over", value: apple.taken.length, unit: "notifications" },
      ...Object.entries(faults).map(([name, value]) => ({
        ...{ name: `faults: ${name}`, value, unit: "", aim: "0" },
      })),
      {
        name: `of ${sizes.waves.at(-1)} texts in a burst, a device is notified of`,
        value: notified / wanted,
        unit: "notifications",
      },
      { name: "from their last until all devices show it", value: last.seconds, unit: "s" },
      { name: "connections", value: apple.connections, unit: "connections" },
      ...(cpuSeconds === undefined
        ? []
        : [
            {
              name: "CPU of the role push",
              value: (cpuSeconds * 1e6) / apple.taken.length,
              unit: "µs/notification",
            },
          ]),
    ],
    notes: [`Apple's service failed: ${failed.join(", ")}`],
  };
}
