/** What every adapter of search-index.ts does. */
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { MemberRole } from "../../../gen/parley/message/v1/message_pb.js";
import type { MembershipRow } from "../store/message-store.ts";
import type {
  IndexBatch,
  IndexedChannel,
  IndexedText,
  IndexQuery,
  SearchIndex,
} from "./search-index.ts";
import { MemorySearchIndex } from "./search-index-memory.ts";
import { parseQuery } from "./search-query.ts";

/** Runs the suite; each call makes an empty index. */
export function searchIndexContract(adapter: string, make: () => Promise<SearchIndex>): void {
  describe(`SearchIndex: ${adapter}`, () => {
    let index: SearchIndex;
    beforeEach(async () => {
      index = await make();
    });

    const apply = (batch: Partial<IndexBatch>) => index.apply({ ...emptyBatch, ...batch });
    const find = async (query: string, rest: Partial<IndexQuery> = {}) => {
      const phrases = query === "" ? [] : parseQuery(query);
      const hits = await index.find({ ...anyQuery, phrases, ...rest });
      return hits.map(({ messageId }) => messageId);
    };

    it("[H4] finds what has all words, in any case and form, the newest first", async () => {
      await apply({
        memberships: [stay({})],
        texts: [
          text(1n, "Zwei Straßen"),
          text(2n, "eine STRASSE, zwei"),
          text(3n, "Ｚｗｅｉ straße"),
        ],
      });
      expect(await find("zwei strasse")).toEqual([3n, 2n]);
      expect(await find("Straßen")).toEqual([1n]);
      expect(await find("drei zwei")).toEqual([]);
    });

    it("[H4] finds phrases, and any part of a text without spaces", async () => {
      await apply({
        memberships: [stay({})],
        texts: [
          text(1n, "one two three"),
          text(2n, "two one"),
          text(3n, "我喜欢音乐"),
          text(4n, "欢喜"),
          text(5n, "ฉันชอบดนตรี"),
          text(6n, "학교에서 만나요"),
          text(7n, "👍"),
        ],
      });
      expect(await find('"one two"')).toEqual([1n]);
      expect(await find("one-two")).toEqual([1n]);
      expect(await find("喜欢")).toEqual([3n]);
      expect(await find("喜")).toEqual([4n, 3n]);
      expect(await find("欢音乐")).toEqual([3n]);
      expect(await find("ดนตรี")).toEqual([5n]);
      expect(await find("학교")).toEqual([6n]);
      expect(await find("👍")).toEqual([7n]);
    });

    it("[H4] takes words for words, whatever they contain", async () => {
      const words = ["a'b\\c", "x & y | !z", "C++", "<->", "''", "$1"];
      await apply({
        memberships: [stay({})],
        texts: words.map((word, i) => text(BigInt(i + 1), word)),
      });
      expect(await find("a'b\\c")).toEqual([1n]);
      expect(await find("y|")).toEqual([2n]);
      expect(await find("c++")).toEqual([3n]);
      expect(await find("$1")).toEqual([6n]);
    });

    it("[H4] indexes the longest text, as far as words are counted", async () => {
      const long = Array.from({ length: 14_000 }, (_, i) => `w${i}`).join(" ");
      const unspaced = String.fromCodePoint(
        ...Array.from({ length: 20_000 }, (_, i) => 0x4e00 + i),
      );
      await apply({ memberships: [stay({})], texts: [text(1n, long), text(2n, unspaced)] });
      expect(await find("w13999")).toEqual([1n]);
      expect(await find(unspaced.slice(16_000, 16_004))).toEqual([2n]);
      expect(await find(unspaced.slice(17_000, 17_004))).toEqual([]);
    });

    it("[H4] indexes characters with any number of marks", async () => {
      const marked = `ด${"\u0e48".repeat(3_000)}`;
      await apply({ memberships: [stay({})], texts: [text(1n, `ด${marked}`), text(2n, marked)] });
      expect(await find("ดด")).toEqual([]);
      expect(await find(`ด${marked.slice(0, 200)}`)).toEqual([1n]);
      expect(await find(marked.slice(0, 200))).toEqual([2n, 1n]);
    });

    it("[H4] puts first what fits better, of equals the newer, and pages in that order", async () => {
      await apply({
        memberships: [stay({})],
        texts: [
          text(1n, "tea tea tea"),
          text(2n, "coffee milk tea"),
          text(3n, "coffee milk tea"),
          text(4n, "coffee"),
        ],
      });
      expect(await find("tea", { byRank: true })).toEqual([1n, 3n, 2n]);
      const [first] = await index.find({
        ...anyQuery,
        ...{ phrases: parseQuery("tea"), byRank: true, limit: 1 },
      });
      expect(await find("tea", { byRank: true, after: first! })).toEqual([3n, 2n]);
      expect(await find("tea", { after: { rank: 0, messageId: 3n }, limit: 1 })).toEqual([2n]);
    });

    it("[H5] finds by sender and by who is mentioned", async () => {
      await apply({
        memberships: [stay({})],
        texts: [
          text(1n, "hi", { mentionedUserIds: ["u1", "u2"] }),
          text(2n, "hi", { senderId: "u3" }),
        ],
      });
      expect(await find("", { mentionedUserId: "u1" })).toEqual([1n]);
      expect(await find("", { mentionedUserId: "u9" })).toEqual([]);
      expect(await find("hi", { senderId: "u3" })).toEqual([2n]);
    });

    it("[H4] an edit takes the place of the text, a deletion of everything, in any order", async () => {
      const states = [
        text(1n, "old"),
        text(1n, "new", { sequence: 5 }),
        text(2n, "gone"),
        text(2n, "", { sequence: 6 }),
      ];
      for (const texts of [states, [...states].reverse()]) {
        index = await make();
        await apply({ memberships: [stay({})] });
        for (const state of texts) await apply({ texts: [state] });
        await apply({ texts });
        expect(await find("old")).toEqual([]);
        expect(await find("gone")).toEqual([]);
        expect(await find("new")).toEqual([1n]);
      }
    });

    it("[G4] who left finds what was said meanwhile, and no later word of it", async () => {
      const row = { ...stay({ joinedSequence: 2 }), leftSequence: 5, sequence: 5 };
      await apply({
        channels: [channel(true, 5)],
        memberships: [row, stay({ joinedSequence: 2 })],
        texts: [
          text(1n, "word", { channelSequence: 1 }),
          text(3n, "word", { channelSequence: 3 }),
          text(4n, "word", { channelSequence: 4, sequence: 7 }),
          text(6n, "word", { channelSequence: 6 }),
        ],
      });
      expect(await find("word")).toEqual([3n]);
      expect(await find("word", { userId: "u9" })).toEqual([]);
      await apply({ memberships: [stay({ joinedSequence: 8, sequence: 8 })] });
      expect(await find("word")).toEqual([6n, 4n, 3n, 1n]);
      await apply({ channels: [channel(false, 9)] });
      expect(await find("word")).toEqual([3n]);
    });

    it("[H4] looks in one channel or in all, by one user's stays", async () => {
      await apply({
        memberships: [
          stay({}),
          stay({ channelId: "g-2" }),
          stay({ channelId: "g-3", userId: "u2" }),
        ],
        texts: [1n, 2n, 3n].map((id) => text(id, "word", { channelId: `g-${id}` })),
      });
      expect(await find("word")).toEqual([2n, 1n]);
      expect(await find("word", { channelId: "g-2" })).toEqual([2n]);
      expect(await find("word", { channelId: "g-3" })).toEqual([]);
    });

    it("[H4] looks in more channels than a query names", async () => {
      const channelIds = Array.from({ length: 1_010 }, (_, i) => `g-${i}`);
      for (const part of [channelIds.slice(0, 1_000), channelIds.slice(1_000)]) {
        await apply({ memberships: part.map((channelId) => stay({ channelId })) });
      }
      await apply({
        texts: [text(1n, "word", { channelId: "g-7" }), text(2n, "word", { channelId: "g-x" })],
      });
      expect(await find("word")).toEqual([1n]);
    });

    it("[H4] refuses more of a kind than a batch may have", async () => {
      const texts = Array.from({ length: 1_025 }, (_, i) => text(BigInt(i), "word"));
      await expect(apply({ texts })).rejects.toThrow(/at most 1024/);
    });

    it("[H4] finds what a look at every text finds, whatever was written in whatever order", async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(someBatch, { maxLength: 6 }), async (batches) => {
          index = await make();
          const model = new MemorySearchIndex();
          for (const batch of batches) {
            await index.apply(batch);
            await model.apply(batch);
          }
          for (const query of ["aa", "aa bb", '"aa bb"', "中", "中文", "aa文"]) {
            const wanted = { ...anyQuery, phrases: parseQuery(query) };
            expect(await index.find(wanted)).toEqual(await model.find(wanted));
          }
        }),
        { numRuns: 25 },
      );
    });
  });
}

const emptyBatch: IndexBatch = { texts: [], memberships: [], channels: [] };
const anyQuery: IndexQuery = { userId: "u1", byRank: false, limit: 100 };

function text(messageId: bigint, words: string, rest: Partial<IndexedText> = {}): IndexedText {
  const channelSequence = rest.channelSequence ?? Number(messageId);
  return {
    ...{ channelId: "g-1", messageId, channelSequence, sequence: channelSequence },
    ...{ senderId: "u2", text: words, mentionedUserIds: [] },
    ...rest,
  };
}

function stay(row: Partial<MembershipRow>): MembershipRow {
  return {
    ...{ channelId: "g-1", userId: "u1", joinedSequence: 1, leftSequence: 0, sequence: 1 },
    ...{ role: MemberRole.MEMBER, joinTimeMs: 0 },
    ...row,
  };
}

function channel(historyBeforeJoining: boolean, sequence: number): IndexedChannel {
  return { channelId: "g-1", historyBeforeJoining, sequence };
}

/** States of few things, so that they meet; what one sequence says of a thing is always the same. */
const someText = fc
  .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 0, max: 3 }))
  .map(([id, edits]) => {
    const words = ["aa bb", "bb aa", "中文 aa", "aa中文", ""];
    const channelId = `g-${(id % 2) + 1}`;
    const sequence = id + 10 * edits;
    const rest = { channelId, sequence };
    return text(BigInt(id), words[(id + edits) % words.length]!, rest);
  });
const someStay = fc
  .tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 0, max: 3 }), fc.boolean())
  .map(([channelNumber, number, hasLeft]) => {
    const joinedSequence = number * 10 + 2;
    const leftSequence = hasLeft ? joinedSequence + 5 : 0;
    const sequence = joinedSequence + leftSequence;
    return stay({ channelId: `g-${channelNumber}`, joinedSequence, leftSequence, sequence });
  });
const someChannel = fc
  .integer({ min: 1, max: 9 })
  .map((sequence) => channel(sequence % 2 === 0, sequence));
const someBatch = fc.record({
  texts: fc.array(someText, { maxLength: 5 }),
  memberships: fc.array(someStay, { maxLength: 3 }),
  channels: fc.array(someChannel, { maxLength: 2 }),
});
