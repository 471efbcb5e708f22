/** How every adapter of message-store.ts keeps messages. */
import { clone } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MembershipChange_Kind, MessageSchema } from "../../../gen/parley/message/v1/message_pb.js";
import { placementOf } from "../channel/placement.ts";
import type { MessageRange } from "./message-store.ts";
import { message, messagesOf, type OpenMessageStore } from "./message-store-under-test.ts";

/** A part of the suite. */
export function messagesContract(test: OpenMessageStore): void {
  describe("messages", () => {
    const list = async (range: Partial<MessageRange>) => {
      const all = { channelId: "g-1", newestFirst: false, limit: 1_000 };
      const messages = await messagesOf(test.store, { ...all, ...range });
      return messages.map(({ messageId }) => messageId);
    };

    it("[H1] come back as they were stored, byte for byte", async () => {
      const messages = [
        message(5n, { body: { case: "text", value: "👩‍👩‍👧 \u0000 \ufeff é é" } }),
        message(6n, {
          replyToMessageId: 5n,
          body: {
            case: "membershipChange",
            value: { kind: MembershipChange_Kind.ADDED, userIds: ["u2", "u3"] },
          },
        }),
        message(2n ** 63n - 1n),
      ];
      await test.store.apply({ messages });
      expect(
        await messagesOf(test.store, { channelId: "g-1", newestFirst: false, limit: 10 }),
      ).toEqual(messages);
    });

    it("[M5] that are stored again, or late in an older state, change nothing", async () => {
      const newest = message(5n, { channelSequence: 9 });
      await test.store.apply({ messages: [message(5n, { channelSequence: 3 }), newest] });
      await test.store.apply({ messages: [newest] });
      await test.store.apply({ messages: [message(5n, { channelSequence: 3 })] });
      expect(
        await messagesOf(test.store, { channelId: "g-1", newestFirst: true, limit: 10 }),
      ).toEqual([newest]);
    });

    it("[H2] are listed by id in both directions, of one channel alone", async () => {
      const messages = [7n, 3n, 5n, 256n, 255n].map((id) => message(id));
      const others = ["g-", "g-10", "f", "h"].map((channelId) => message(4n, { channelId }));
      await test.store.apply({ messages: [...messages, ...others] });
      expect(await list({})).toEqual([3n, 5n, 7n, 255n, 256n]);
      expect(await list({ newestFirst: true })).toEqual([256n, 255n, 7n, 5n, 3n]);
      expect(await list({ minMessageId: 5n, maxMessageId: 255n })).toEqual([5n, 7n, 255n]);
      expect(await list({ newestFirst: true, maxMessageId: 254n, limit: 2 })).toEqual([7n, 5n]);
      expect(await list({ minMessageId: 8n, limit: 1 })).toEqual([255n]);
      expect(await list({ minMessageId: 8n, maxMessageId: 7n })).toEqual([]);
      expect(await list({ channelId: "none" })).toEqual([]);
    });

    it("[H3] are found by any range as an array would find them", async () => {
      const id = fc.bigInt({ min: 0n, max: 40n });
      const ids = Array.from({ length: 20 }, (_, i) => BigInt(2 * i + 1));
      await test.store.apply({ messages: ids.map((each) => message(each)) });
      await fc.assert(
        fc.asyncProperty(
          fc.record({
            minMessageId: id,
            maxMessageId: id,
            newestFirst: fc.boolean(),
            limit: fc.integer({ min: 1, max: 25 }),
          }),
          async (range) => {
            const { minMessageId: min, maxMessageId: max } = range;
            const wanted = ids.filter((each) => each >= min && each <= max);
            if (range.newestFirst) wanted.reverse();
            expect(await list(range)).toEqual(wanted.slice(0, range.limit));
          },
        ),
      );
    });

    it("[M5] are found by channel, sender and client id together", async () => {
      const sent = message(5n, { senderId: "u1", clientMessageId: "c1" });
      await test.store.apply({
        messages: [sent, message(6n, { senderId: "u2", clientMessageId: "c2" })],
      });
      const placement = placementOf({ case: "message", value: sent });
      expect(await test.store.findSend("g-1", "u1", "c1")).toEqual(placement);
      expect(await test.store.findSend("g-1", "u2", "c1")).toBeUndefined();
      expect(await test.store.findSend("g-2", "u1", "c1")).toBeUndefined();
      expect(await test.store.findSend("g-1", "u1", "c2")).toBeUndefined();
    });

    it("[M5] are found as the later of two under one client id, in whatever order they came", async () => {
      const both = [3, 60_000].map((channelSequence) =>
        message(BigInt(channelSequence), { channelSequence, clientMessageId: "c" }),
      );
      const placement = placementOf({ case: "message", value: both[1]! });
      for (const messages of [both, [...both].reverse(), [both[0]!]]) {
        await test.store.apply({ messages });
        expect(await test.store.findSend("g-1", "u1", "c")).toEqual(placement);
      }
    });

    it("are refused above 1,024 a batch, and listed at most 1,000 at a time", async () => {
      const messages = Array.from({ length: 1_025 }, (_, i) => message(BigInt(i + 1)));
      await expect(test.store.apply({ messages })).rejects.toThrow(
        "messages: are 1025; at most 1024",
      );
      await test.store.apply({ messages: messages.slice(1) });
      expect(await list({ limit: 1_000 })).toHaveLength(1_000);
      for (const limit of [0, -1, 1.5, 1_001]) {
        await expect(list({ limit })).rejects.toThrow(`limit: is ${limit}`);
      }
    });

    it("is not disturbed by what the caller does to its messages afterwards", async () => {
      const given = message(5n);
      const stored = clone(MessageSchema, given);
      await test.store.apply({ messages: [given] });
      given.body = { case: "text", value: "changed" };
      const range = { channelId: "g-1", newestFirst: true, limit: 1 };
      const [read] = await messagesOf(test.store, range);
      expect(read).toEqual(stored);
      read!.senderId = "changed";
      expect(await messagesOf(test.store, range)).toEqual([stored]);
    });
  });
}
