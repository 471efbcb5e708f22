/** Texts to members who are offline, while Apple's service fails in every way that it can. */
import { expect, it, vi } from "vitest";
import { faultsOf } from "../bench/push-faults.ts";
import { pushToOffline } from "../bench/push-offline.ts";

// A whole server takes its time on a busy machine, and so do pauses between attempts.
vi.setConfig({ testTimeout: 300_000 });

it("[N1] each device is notified of each text once, or of the newest of several; dead tokens are gone", async () => {
  const run = await pushToOffline("embedded", { members: 100, waves: [1, 8] });
  const none = { lost: 0, repeated: 0, overtaken: 0, strange: 0 };
  expect(faultsOf(run)).toEqual({ ...none, toDead: 0, deadKept: 0, liveGone: 0 });
  const failed = [400, 410, 429, 500, 503, "GOAWAY", "cut"] as const;
  expect([...run.failures.keys()]).toEqual(expect.arrayContaining([...failed]));
  expect(run.apple.connections).toBeGreaterThan(run.failures.get("GOAWAY")!);
});
