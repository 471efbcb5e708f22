/** How every adapter of message-store.ts keeps what revisions make of messages. */
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Revision,
  Revision_DeletionSchema,
  Revision_EditSchema,
  Revision_ReactionChangeSchema,
} from "../../../gen/parley/message/v1/message_pb.js";
import { placementOf } from "../channel/placement.ts";
import { newestReactions, revised } from "./message-revisions.ts";
import type { ReactionRow, StoredMessage } from "./message-store.ts";
import { message, type OpenMessageStore, revision } from "./message-store-under-test.ts";

const edit = (text: string): Revision["change"] => ({
  case: "edit",
  value: create(Revision_EditSchema, { text, mentionedUserIds: ["u7"] }),
});
const deletion: Revision["change"] = { case: "deletion", value: create(Revision_DeletionSchema) };
const reaction = (kind: "reactionAdded" | "reactionRemoved", emoji: string) =>
  ({ case: kind, value: create(Revision_ReactionChangeSchema, { emoji }) }) as Revision["change"];

/** A part of the suite. */
export function revisionsContract(test: OpenMessageStore): void {
  describe("revisions", () => {
    const stored = async () => {
      const range = { channelId: "g-1", newestFirst: false, limit: 1_000 };
      return (await test.store.listMessages(range)).map(sorted);
    };

    it("[M9] replace the text, then the message by a tombstone", async () => {
      await test.store.apply({ messages: [message(5n), message(6n)] });
      await test.store.apply({
        revisions: [revision(5n, 7, edit("second")), revision(6n, 8, edit("x"))],
      });
      const edited = { body: { case: "text", value: "second" }, mentionedUserIds: ["u7"] };
      expect((await stored())[0]!.message).toMatchObject({
        ...{ ...edited, editSequence: 7, revisionSequence: 7, prevMessageId: 4n },
      });
      const deleted = revision(5n, 9, deletion);
      await test.store.apply({ revisions: [deleted] });
      const [first, second] = await stored();
      expect(first!.message).toMatchObject({
        ...{ messageId: 5n, clientMessageId: "c5", sendTime: message(5n).sendTime },
        ...{ body: { case: undefined }, mentionedUserIds: [], editSequence: 0 },
        ...{ deleteTime: deleted.reviseTime, revisionSequence: 9 },
      });
      expect(first!.message.editTime).toBeUndefined();
      expect(second!.message).toMatchObject({ body: { value: "x" }, revisionSequence: 8 });
    });

    it("[M9] give and take back reactions, each user's and emoji's by itself", async () => {
      await test.store.apply({
        messages: [message(5n), message(6n)],
        revisions: [
          revision(5n, 7, reaction("reactionAdded", "👩‍👩‍👧")),
          revision(5n, 8, reaction("reactionAdded", "+1")),
          revision(5n, 9, reaction("reactionAdded", "+1"), { senderId: "u2" }),
          revision(6n, 10, reaction("reactionAdded", "__proto__"), { senderId: "u2" }),
          revision(5n, 11, reaction("reactionRemoved", "+1")),
        ],
      });
      expect((await stored()).map(({ reactions }) => reactions)).toEqual([
        [
          { userId: "u1", emoji: "👩‍👩‍👧", sequence: 7, given: true },
          { userId: "u2", emoji: "+1", sequence: 9, given: true },
          { userId: "u1", emoji: "+1", sequence: 11, given: false },
        ],
        [{ userId: "u2", emoji: "__proto__", sequence: 10, given: true }],
      ]);
    });

    it("[M5] [M9] come to the same in whatever order and however often they arrive, before their message too", async () => {
      let channels = 0;
      await fc.assert(
        fc.asyncProperty(histories, async ({ changes, order }) => {
          const channelId = `g-${channels++}`;
          const mine = { channelId, messageChannelSequence: 3 };
          const sent = message(5n, { channelId, channelSequence: 3 });
          const revisions = changes.map(({ change, user }, i) =>
            revision(5n, 10 + i, change, { ...mine, senderId: `u${user}` }),
          );
          const batches = [
            { messages: [sent] },
            ...revisions.map((each) => ({ revisions: [each] })),
          ];
          for (const at of order) await test.store.apply(batches[at % batches.length]!);
          for (const batch of batches.reverse()) await test.store.apply(batch);
          const range = { channelId, newestFirst: true, limit: 10 };
          const expected = revised({ message: sent, reactions: [] }, revisions);
          expect((await test.store.listMessages(range)).map(sorted)).toEqual([sorted(expected)]);
        }),
        { numRuns: 25 },
      );
    });

    it("[M9] that came without their message show nothing, and hide nothing", async () => {
      await test.store.apply({
        messages: [message(4n), message(7n)],
        revisions: [revision(5n, 9, edit("x")), revision(6n, 10, reaction("reactionAdded", "x"))],
      });
      for (const newestFirst of [true, false]) {
        const range = { channelId: "g-1", newestFirst, limit: 2 };
        expect(await test.store.listMessages(range)).toHaveLength(2);
      }
    });

    it("[M5] are found by their client ids, and leave their message's alone", async () => {
      const sent = message(5n);
      const edited = revision(5n, 9, edit("x"), { clientMessageId: "e1" });
      await test.store.apply({ messages: [sent], revisions: [edited] });
      expect(await test.store.findSend("g-1", "u1", "e1")).toEqual(
        placementOf({ case: "revision", value: edited }),
      );
      expect(await test.store.findSend("g-1", "u1", "c5")).toEqual(
        placementOf({ case: "message", value: sent }),
      );
    });

    it("[S4] are listed by their sequences, at any distance, of one channel alone", async () => {
      const sequences = [7, 9, 100_007, 100_008, 3_000_000];
      const revisions = sequences.map((at) => revision(BigInt(at), at, edit("x")));
      const other = revision(5n, 8, edit("x"), { channelId: "g-10" });
      await test.store.apply({ revisions: [...revisions, other].reverse() });
      await test.store.apply({ revisions });
      const list = async (minSequence: number, maxSequence: number, limit = 1_000) => {
        const range = { channelId: "g-1", minSequence, maxSequence, limit };
        const rows = await test.store.listRevisions(range);
        expect(rows.every((row) => row.messageId === BigInt(row.channelSequence))).toBe(true);
        return rows.map(({ channelSequence }) => channelSequence);
      };
      expect(await list(0, 4_000_000)).toEqual(sequences);
      expect(await list(8, 100_007)).toEqual([9, 100_007]);
      expect(await list(8, 4_000_000, 2)).toEqual([9, 100_007]);
      expect(await list(9, 8)).toEqual([]);
    });
  });
}

function sorted({ message: each, reactions }: StoredMessage): StoredMessage {
  const bySequence = (a: ReactionRow, b: ReactionRow) => a.sequence - b.sequence;
  return { message: each, reactions: newestReactions(reactions).sort(bySequence) };
}

const change = fc.oneof(
  fc.string({ minLength: 1, maxLength: 3 }).map(edit),
  fc.constantFrom(reaction("reactionAdded", "a"), reaction("reactionRemoved", "a")),
  fc.constantFrom(reaction("reactionAdded", "b"), reaction("reactionRemoved", "b")),
);

/** What happens to a message, and in which order some of it is stored. */
const histories = fc.record({
  changes: fc
    .tuple(fc.array(fc.record({ change, user: fc.nat(1) }), { maxLength: 8 }), fc.boolean())
    .map(([changes, ends]) => (ends ? [...changes, { change: deletion, user: 0 }] : changes)),
  order: fc.array(fc.nat(20), { maxLength: 12 }),
});
