/** Every turn of the dialogues, looked for in a search index. */
import { expect, it } from "vitest";
import { MemberRole } from "../gen/parley/message/v1/message_pb.js";
import type { IndexedText, SearchIndex } from "../services/message/search/search-index.ts";
import { findPhrases, parseQuery } from "../services/message/search/search-query.ts";
import { partsOf } from "../services/message/workers/indexing.ts";
import { allDialogues } from "./e2e/dialogues.ts";
import { ownWords } from "./own-words.ts";

const timeoutMs = 300_000;
const userId = "ann";

/** Writes all of them into an index, looks for each by a word of its own, and prints how many are found. */
export function findsEveryTurn(index: SearchIndex): void {
  it(
    "[H4] finds every turn of the dialogues by a word of its own, in each language",
    async () => {
      const turns = Map.groupBy(
        allDialogues().flatMap(({ language, turns }) => turns.map((text) => ({ language, text }))),
        ({ language }) => language,
      );
      const texts = [...turns.values()].flatMap((of, i) =>
        of.map(({ text }, at) => indexed(`g-${i}`, BigInt(i * 100_000 + at + 1), at + 2, text)),
      );
      const memberships = [...turns.keys()].map((_, i) => ({
        ...{ channelId: `g-${i}`, userId, joinedSequence: 1, leftSequence: 0, sequence: 1 },
        ...{ role: MemberRole.MEMBER, joinTimeMs: 0 },
      }));
      for (const part of partsOf({ texts, memberships, channels: [] })) await index.apply(part);

      const report: string[] = [];
      for (const [i, language] of [...turns.keys()].entries()) {
        const channelId = `g-${i}`;
        const there = texts.filter((text) => text.channelId === channelId);
        const found = await countFound(there);
        report.push(`${language}: ${found} of ${there.length}`);
        expect.soft(found, language).toBe(there.length);
      }
      console.log(`Turns found by a word of their own:\n${report.join("\n")}`);
    },
    timeoutMs,
  );

  /** How many texts of a channel are found, and marked where they have the word. */
  async function countFound(texts: readonly IndexedText[]): Promise<number> {
    const words = ownWords(texts.map(({ text }) => text));
    let found = 0;
    for (const [word, wanted] of Map.groupBy(texts, (text) => words[texts.indexOf(text)]!)) {
      const phrases = parseQuery(word);
      const query = { userId, channelId: wanted[0]!.channelId, phrases, byRank: false };
      const hits = await index.find({ ...query, limit: 1_000 });
      const ids = new Set(hits.map(({ messageId }) => messageId));
      found += wanted.filter(({ messageId, text }) => {
        return ids.has(messageId) && findPhrases(text, phrases).length > 0;
      }).length;
    }
    return found;
  }
}

function indexed(
  channelId: string,
  messageId: bigint,
  sequence: number,
  text: string,
): IndexedText {
  return {
    ...{ channelId, messageId, channelSequence: sequence, sequence },
    ...{ senderId: userId, text, mentionedUserIds: [] },
  };
}
