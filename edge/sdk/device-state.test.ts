import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ChannelSchema, MessageSchema } from "../../gen/parley/message/v1/message_pb.js";
import { MemoryClientStore } from "./client-store.ts";
import {
  channelEntry,
  detailsEntry,
  messageEntry,
  messageRemoval,
  positionEntry,
  readMarkEntry,
  sendEntry,
  sendRemoval,
} from "./device-entries.ts";
import { DeviceState, unwrittenMax } from "./device-state.ts";

const failed = (error: unknown) => {
  throw error;
};

const position = (sequence: number) =>
  positionEntry({ epoch: "e", sequence: BigInt(sequence) }, 0n);

describe("DeviceState", () => {
  it("gives back what was put, messages and sends in their order", async () => {
    const store = new MemoryClientStore();
    const state = await DeviceState.load(store, "ann", failed);
    state.put(positionEntry({ epoch: "e", sequence: 2n ** 60n }, 2n ** 61n));
    const channelId = "g-1";
    const channel = { channelId, lastMessageId: 2n ** 62n, lastChannelSequence: 7, member: true };
    state.put(channelEntry(channel));
    const details = create(ChannelSchema, { channelId, name: "Täglich 😀" });
    state.put(detailsEntry(details));
    // The last as large as a text may be.
    const messages = [9n, 10n, 2n ** 62n].map((messageId, i) => {
      const value = "hello\n😀".repeat(i < 2 ? 1 : 2_340);
      return create(MessageSchema, { channelId, messageId, body: { case: "text", value } });
    });
    for (const message of messages.toReversed()) state.put(messageEntry(message));
    const gone = create(MessageSchema, { channelId, messageId: 8n });
    state.put(messageEntry(gone));
    state.put(messageRemoval(gone));
    const send = { channelId, text: "hello\n😀", replyToMessageId: 5n };
    // The clock was wrong when the first got its id.
    const sends = ["2", "1", "3"].map((id, i) => ({ ...send, clientMessageId: id, number: i + 7 }));
    for (const each of sends) state.put(sendEntry(each));
    state.put(sendRemoval("3"));
    state.put(readMarkEntry(channelId, 2n ** 62n));
    state.put(readMarkEntry("g-2", 7n));
    state.put(readMarkEntry("g-2", undefined));
    await state.flush();
    expect((await DeviceState.load(store, "ann", failed)).loaded).toEqual({
      position: { epoch: "e", sequence: 2n ** 60n },
      curMaxMessageId: 2n ** 61n,
      channels: [channel],
      details: [details],
      messages,
      sends: sends.slice(0, 2),
      readMarks: [{ channelId, messageId: 2n ** 62n }],
    });
  });

  it("writes what is put at any moment of a write, and never two writes at once", async () => {
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
      state.put(position(i));
      for (let turns = i % 7; turns > 0; turns--) await Promise.resolve();
    }
    await state.flush();
    expect(writes).toBeLessThan(50);
    expect((await DeviceState.load(store, "ann", failed)).loaded.position.sequence).toBe(50n);
  });

  it("[S2] a position is not in the store without what it stands for, though writes fail", async () => {
    const store = new MemoryClientStore();
    const writing = store.write.bind(store);
    const failures: unknown[] = [];
    const state = await DeviceState.load(store, "ann", (error) => failures.push(error));
    await state.flush();
    store.write = async () => {
      throw new Error("full");
    };
    const channel = { channelId: "g-1", lastMessageId: 1n, lastChannelSequence: 1, member: true };
    state.put(channelEntry(channel));
    state.put(position(1));
    await state.flush();
    expect(failures).toEqual([new Error("full")]);
    store.write = writing;
    state.put(position(2));
    await state.flush();
    const { loaded } = await DeviceState.load(store, "ann", failed);
    expect(loaded).toMatchObject({ position: { sequence: 2n }, channels: [channel] });
  });

  it("[K3] writes nothing more where too much waits for a store that fails", async () => {
    const store = new MemoryClientStore();
    const failures: unknown[] = [];
    const state = await DeviceState.load(store, "ann", (error) => failures.push(error));
    await state.flush();
    const before = await store.readAll();
    store.write = async () => {
      throw new Error("full");
    };
    for (let i = 0; i <= unwrittenMax; i++) state.put([`message/g-1/${i}`, undefined]);
    await state.flush();
    expect(state.isKept).toBe(false);
    state.put(position(1));
    await state.flush();
    expect(failures).toHaveLength(1);
    expect(await store.readAll()).toEqual(before);
  });

  it("without a store everything works and is kept nowhere", async () => {
    const state = await DeviceState.load(undefined, "ann", failed);
    state.put(position(1));
    await state.flush();
    expect(state.isKept).toBe(false);
    expect(state.loaded.position.sequence).toBe(0n);
  });
});
