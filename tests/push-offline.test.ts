/** Pushes to members who are offline, while Apple's service fails in every way that it can. */
import { describe, expect, it, vi } from "vitest";
import { cutEvery, type OfflineDevice, pushToOffline } from "../bench/push-offline.ts";

// It takes its time on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const lastOf = ({ messages }: OfflineDevice) =>
  new Map(messages.map(({ channelId, messageId }) => [channelId, String(messageId)]));

describe("pushes to offline members", () => {
  it("[N1] each device gets every message, and shows the last of each channel; dead tokens are gone", async () => {
    const { devices, apple, listed, outcomes } = await pushToOffline({
      ...{ members: 100, messages: 1_000 },
    });
    expect(apple.connections).toBeGreaterThan(3);
    expect(outcomes.retry).toBeGreaterThan(100);
    expect(outcomes.refused).toBe(0);

    let copies = 0;
    for (const device of devices) {
      const taken = apple.taken.filter(({ deviceToken }) => deviceToken === device.deviceToken);
      const ids = taken.map(({ payload }) => payload.message_id);
      if (device.fate !== "alive") {
        expect(ids).toEqual([]);
        expect(listed.has(device.target.deviceId)).toBe(device.fate === "registered later");
        continue;
      }
      expect(listed.has(device.target.deviceId)).toBe(true);
      expect([...new Set(ids)]).toEqual(device.messages.map(({ messageId }) => String(messageId)));
      copies += ids.length - device.messages.length;
      const shown = apple.shown(device.deviceToken);
      const last = [...shown].map(([channelId, { payload }]) => [channelId, payload.message_id]);
      expect(new Map(last as [string, string][])).toEqual(lastOf(device));
    }
    // Of a request that a cut connection has left without an answer nobody knows: it is sent
    // again, and takes its own place on the device.
    const cuts = Math.floor(apple.arrivals / cutEvery);
    expect(copies).toBeLessThanOrEqual(cuts * devices.length);
  });
});
