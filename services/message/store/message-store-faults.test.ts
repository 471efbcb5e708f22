import { beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../../mesh/clock-manual.ts";
import { Faults, seededRandom } from "../../../mesh/faults.ts";
import { type MessageStore, StoreUnavailable } from "./message-store.ts";
import { type StoreFault, withStoreFaults } from "./message-store-faults.ts";
import { MemoryMessageStoreServer } from "./message-store-memory.ts";
import { message } from "./message-store-under-test.ts";

describe("withStoreFaults", () => {
  let faults: Faults<StoreFault>;
  let store: MessageStore;
  beforeEach(() => {
    faults = new Faults(seededRandom(1));
    store = withStoreFaults(new MemoryMessageStoreServer(new ManualClock()).connect(), faults);
  });
  const messages = Array.from({ length: 20 }, (_, i) => message(BigInt(i + 1)));
  const apply = () => store.apply({ messages, channels: [], memberships: [] });
  const count = async () =>
    (await store.listMessages({ channelId: "g-1", newestFirst: false, limit: 100 })).length;

  it("[R2] a write fails and was made, or in part, or not at all; the next one is made", async () => {
    faults.next("writeLost");
    await expect(apply()).rejects.toThrow(StoreUnavailable);
    expect(await count()).toBe(0);
    faults.next("writePartial");
    await expect(apply()).rejects.toThrow(StoreUnavailable);
    expect(await count()).toBeGreaterThan(0);
    expect(await count()).toBeLessThan(20);
    faults.next("writeUnknown");
    await expect(apply()).rejects.toThrow(StoreUnavailable);
    expect(await count()).toBe(20);
    await apply();
  });

  it("[R2] every read fails when it is told to, and only then", async () => {
    await apply();
    const reads = [
      () => count(),
      () => store.findSend("g-1", "u1", "c1"),
      () => store.getChannel("g-1"),
      () => store.listMembers("g-1", "", 1),
      () => store.listStays("g-1", "u1"),
      () => store.listChannelIds("u1", "", 1),
      () => store.getDeviceCursor("u1", "d1"),
    ];
    for (const read of reads) {
      faults.next("readFails");
      await expect(read()).rejects.toThrow(StoreUnavailable);
      await read();
    }
  });
});
