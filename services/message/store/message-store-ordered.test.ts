import { create } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";
import { MessageSchema } from "../../../gen/parley/message/v1/message_pb.js";
import { ManualClock } from "../../../mesh/clock-manual.ts";
import { type MessageStore, StoreUnavailable } from "./message-store.ts";
import { MemoryMessageStoreServer } from "./message-store-memory.ts";
import { Table } from "./message-store-rows.ts";

const dayMs = 24 * 3_600_000;

describe("OrderedMessageStore", () => {
  let clock: ManualClock;
  let server: MemoryMessageStoreServer;
  let store: MessageStore;
  let lastId: number;
  beforeEach(() => {
    clock = new ManualClock();
    server = new MemoryMessageStoreServer(clock);
    store = server.connect();
    lastId = 0;
  });
  const send = (count: number) =>
    store.apply({
      messages: Array.from({ length: count }, () => {
        const id = ++lastId;
        const messageId = BigInt(id);
        const ids = { channelId: `g-${id % 10}`, senderId: "u1", clientMessageId: `c${id}` };
        return create(MessageSchema, { ...ids, messageId, channelSequence: id });
      }),
      channels: [],
      memberships: [],
    });
  const sendRows = () =>
    [...server.rows.values.keys()].filter((key) => key.charCodeAt(0) === Table.SENDS).length;

  it("[M5] finds a client id for 30 days, and the message for ever", async () => {
    await send(1);
    clock.advance(30 * dayMs - 1);
    expect(await store.findSend("g-1", "u1", "c1")).toMatchObject({ messageId: 1n });
    clock.advance(1);
    expect(await store.findSend("g-1", "u1", "c1")).toBeUndefined();
    const range = { channelId: "g-1", newestFirst: true, limit: 1 };
    expect(await store.listMessages(range)).toHaveLength(1);
  });

  it("[M5] lets go of expired client ids while it stores new ones", async () => {
    for (let day = 0; day < 200; day++) {
      await send(10);
      clock.advance(dayMs);
      expect(sendRows()).toBeLessThanOrEqual(2 * 30 * 10 + 20);
    }
    await send(10);
    for (let id = lastId - 29 * 10; id <= lastId; id++) {
      expect(await store.findSend(`g-${id % 10}`, "u1", `c${id}`)).toBeDefined();
    }
  });

  it("answers StoreUnavailable when it is closed", async () => {
    await store.close();
    await expect(send(1)).rejects.toThrow(StoreUnavailable);
    await expect(store.getChannel("g-1")).rejects.toThrow(StoreUnavailable);
  });

  it("refuses ids that no key can hold", async () => {
    for (const id of ["g-\u0000", "g-é", "g".repeat(201)]) {
      await expect(store.getChannel(id)).rejects.toThrow("is not 0 to 200 of ASCII");
    }
  });
});
