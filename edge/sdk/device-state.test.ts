import { describe, expect, it } from "vitest";
import { MemoryClientStore } from "./client-store.ts";
import { DeviceState } from "./device-state.ts";

const failed = (error: unknown) => {
  throw error;
};

describe("DeviceState", () => {
  it("gives back what was set, in the order of the sends", async () => {
    const store = new MemoryClientStore();
    const state = await DeviceState.load(store, "ann", failed);
    state.setPosition({ epoch: "e", sequence: 2n ** 60n }, 2n ** 61n);
    const channel = {
      channelId: "g-1",
      lastMessageId: 2n ** 62n,
      lastChannelSequence: 7,
      member: true,
    };
    state.setChannel(channel);
    const send = { channelId: "g-1", text: "hello\n😀", replyToMessageId: 5n };
    for (const clientMessageId of ["2", "1", "3"]) state.addSend({ ...send, clientMessageId });
    state.removeSend("3");
    await state.flush();
    expect((await DeviceState.load(store, "ann", failed)).loaded).toEqual({
      position: { epoch: "e", sequence: 2n ** 60n },
      curMaxMessageId: 2n ** 61n,
      channels: [channel],
      sends: [
        { ...send, clientMessageId: "1" },
        { ...send, clientMessageId: "2" },
      ],
    });
  });

  it("writes what is set at any moment of a write, and never two writes at once", async () => {
    const store = new MemoryClientStore();
    const writing = store.write.bind(store);
    let atOnce = 0;
    let writes = 0;
    store.write = async (entries) => {
      expect(++atOnce).toBe(1);
      writes++;
      await writing(entries);
      atOnce--;
    };
    const state = await DeviceState.load(store, "ann", failed);
    for (let i = 1; i <= 50; i++) {
      state.setPosition({ epoch: "e", sequence: BigInt(i) }, 0n);
      for (let turns = i % 7; turns > 0; turns--) await Promise.resolve();
    }
    await state.flush();
    expect(writes).toBeLessThan(50);
    expect((await DeviceState.load(store, "ann", failed)).loaded.position.sequence).toBe(50n);
  });
});
