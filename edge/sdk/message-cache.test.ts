import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Message, MessageSchema } from "../../gen/parley/message/v1/message_pb.js";
import { cachedMessagesMax, cachedUnitsMax, MessageCache } from "./message-cache.ts";

/** What lies where the cache is kept as well. */
class Kept {
  readonly messages = new Map<bigint, Message>();

  open(): MessageCache {
    return new MessageCache(
      {
        onKept: (message) => this.messages.set(message.messageId, message),
        onDropped: ({ messageId }) => this.messages.delete(messageId),
      },
      [...this.messages.values()].sort((a, b) => Number(a.messageId - b.messageId)),
    );
  }
}

const openCache = () => new Kept().open();

/** The messages of a channel. */
function channel(length: number, channelId = "g-1", text = "x"): Message[] {
  return Array.from({ length }, (_, i) =>
    create(MessageSchema, {
      channelId,
      messageId: BigInt(10 * (i + 1)),
      prevMessageId: BigInt(10 * i),
      body: { case: "text", value: text },
    }),
  );
}

describe("MessageCache", () => {
  it("[K3] holds a run without a hole up to the newest message", () => {
    const page = fc.record({
      from: fc.nat(300),
      length: fc.integer({ min: 1, max: 60 }),
      how: fc.constantFrom("told", "newest", "any"),
    });
    fc.assert(
      fc.property(fc.array(page), (pages) => {
        const all = channel(400);
        const kept = new Kept();
        const cache = kept.open();
        let newestId = 0n;
        for (const { from, length, how } of pages) {
          const page = all.slice(from, from + (how === "told" ? 1 : length));
          if (how === "told") cache.append(page[0]!);
          else if (how === "newest") cache.appendPage("g-1", page);
          else cache.joinPage("g-1", page);
          const lastId = page.at(-1)!.messageId;
          if (how !== "any" && lastId > newestId) newestId = lastId;
          const run = cache.of("g-1");
          expect(run.at(-1)?.messageId ?? 0n).toBe(newestId);
          for (const [i, message] of run.entries()) {
            if (i > 0) expect(message.prevMessageId).toBe(run[i - 1]!.messageId);
          }
          expect(run.length).toBeLessThanOrEqual(cachedMessagesMax);
          expect(kept.messages.size).toBe(run.length);
          expect(kept.open().of("g-1")).toEqual(run);
        }
      }),
    );
  });

  it("joins what was told to the page of history before it", () => {
    const all = channel(30);
    const cache = openCache();
    for (const message of all.slice(20)) cache.append(message);
    cache.joinPage("g-1", all.slice(5, 20).reverse());
    expect(cache.of("g-1")).toEqual(all.slice(5));
  });

  it("lets go of what was not used for longest", () => {
    const kept = new Set<string>();
    const cache = new MessageCache(
      {
        onKept: ({ channelId }) => kept.add(channelId),
        onDropped: ({ channelId }) => kept.delete(channelId),
      },
      [],
    );
    const text = "x".repeat(cachedUnitsMax / 4);
    for (const id of ["a", "b", "c", "a", "d"]) cache.appendPage(id, channel(1, id, text));
    expect(["a", "b", "c", "d"].filter((id) => cache.of(id).length > 0)).toEqual(["a", "c", "d"]);
    expect([...kept].sort()).toEqual(["a", "c", "d"]);
  });
});
