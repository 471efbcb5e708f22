/** What every adapter of message-store.ts does. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { MessageStore } from "./message-store.ts";
import { channelRowsContract } from "./message-store-channels.contract.ts";
import { memberCursorsContract } from "./message-store-cursors.contract.ts";
import { messagesContract } from "./message-store-messages.contract.ts";
import { revisionsContract } from "./message-store-revisions.contract.ts";
import {
  channel,
  type MessageStoreUnderTest,
  message,
  messagesOf,
  type OpenMessageStore,
  stay,
} from "./message-store-under-test.ts";

/** Runs the suite. */
export function messageStoreContract(
  adapter: string,
  make: () => Promise<MessageStoreUnderTest>,
): void {
  describe(`MessageStore: ${adapter}`, () => {
    let adapterUnderTest: MessageStoreUnderTest;
    let store: MessageStore;
    beforeEach(async () => {
      adapterUnderTest = await make();
      store = await adapterUnderTest.open();
    });
    afterEach(async () => {
      await store.close();
      await adapterUnderTest.dispose();
    });

    const test: OpenMessageStore = {
      get store() {
        return store;
      },
      async reopen() {
        await store.close();
        store = await adapterUnderTest.open();
      },
    };
    messagesContract(test);
    revisionsContract(test);
    channelRowsContract(test);
    memberCursorsContract(test);

    it("[H1] everything is there after a re-opening", async () => {
      const messages = [message(5n)];
      const row = { ...{ userId: "u1", deviceId: "d1", inboxEpoch: "e1" }, inboxSequence: 5 };
      await store.apply({ messages, channels: [channel(7)], memberships: [stay({})] });
      await store.putDeviceCursor({ ...row, curMaxMessageId: 5n });
      await test.reopen();
      const range = { channelId: "g-1", newestFirst: true, limit: 10 };
      expect(await messagesOf(store, range)).toEqual(messages);
      expect(await store.findSend("g-1", "u1", "c5")).toMatchObject({ messageId: 5n });
      expect(await store.getChannel("g-1")).toEqual(channel(7));
      expect(await store.listMembers("g-1", "", 10)).toEqual([stay({})]);
      expect(await store.listChannelIds("u1", "", 10)).toEqual(["g-1"]);
      expect(await store.getDeviceCursor("u1", "d1")).toEqual({ ...row, curMaxMessageId: 5n });
    });
  });
}
