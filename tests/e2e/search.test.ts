import type { Client } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { errorReason, MessageService, SearchOrder } from "../../edge/sdk/index.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { type Device, newDevices } from "./device.ts";
import { allDialogues } from "./dialogues.ts";

// A whole server takes its time on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

type SearchRequest = { query: string; channelId?: string };

/** Sends, and searches, under way at once. */
const sendsMax = 500;
const searchesMax = 8;

/** Words as Unicode's own rules and dictionaries cut them: none of what the index knows. */
const segmenter = new Intl.Segmenter("und", { granularity: "word" });

/** A turn's words; of one that has none everything but spaces. */
function wordsOf(turn: string): string[] {
  const segments = [...segmenter.segment(turn)];
  const words = segments.filter(({ isWordLike }) => isWordLike);
  return (words.length > 0 ? words : segments)
    .map(({ segment }) => segment)
    .filter((it) => it.trim());
}

describe("a search", () => {
  let parley: ParleyUnderTest;
  let ann: Device;
  let ben: Device;
  let messages: Client<typeof MessageService>;

  beforeAll(async () => {
    parley = await openParley();
    [ann, ben] = (await newDevices(parley.nextUrl, "ann", "ben")) as [Device, Device];
    messages = ann.http(MessageService);
  });
  afterAll(() => parley.stop());

  /** The ids of everything that is found, on all pages, the newest first. */
  async function find(request: SearchRequest, by = messages): Promise<bigint[]> {
    const ids: bigint[] = [];
    for (let pageToken = ""; ; ) {
      const order = SearchOrder.NEWEST_FIRST;
      const page = await by.searchMessages({ order, pageSize: 50, ...request, pageToken });
      ids.push(...page.hits.map(({ message }) => message!.messageId));
      if (page.nextPageToken === "") return ids;
      pageToken = page.nextPageToken;
    }
  }

  /** Waits until the index has a message. */
  const indexed = (channelId: string, query: string, messageId: bigint) =>
    vi.waitFor(async () => expect(await find({ query, channelId })).toContain(messageId), {
      timeout: 60_000,
      interval: 250,
    });

  it("[H4] finds every turn of the dialogues by a word of its own, in each language", async () => {
    const turns = Map.groupBy(
      allDialogues().flatMap(({ language, turns }) => turns.map((text) => ({ language, text }))),
      ({ language }) => language,
    );
    const report: string[] = [];
    for (const [language, ofLanguage] of turns) {
      const texts = ofLanguage.map(({ text }) => text);
      const channelId = await ann.createGroup([]);
      const ids: bigint[] = [];
      for (let from = 0; from < texts.length; from += sendsMax) {
        const part = texts.slice(from, from + sendsMax);
        ids.push(...(await Promise.all(part.map((text) => ann.say(channelId, text)))));
      }
      const found = await foundByOwnWord(channelId, texts, ids);
      report.push(`${language}: ${found} of ${texts.length}`);
      expect.soft(found, language).toBe(texts.length);
    }
    console.log(`turns found by a word of their own:\n${report.join("\n")}`);
  });

  /** How many texts a search for the word that the fewest others have finds. */
  async function foundByOwnWord(channelId: string, texts: string[], ids: bigint[]) {
    const words = texts.map((text) => new Set(wordsOf(text)));
    const counts = new Map<string, number>();
    for (const word of words.flatMap((all) => [...all])) {
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
    const rarest = (all: Set<string>) =>
      [...all].reduce((a, b) => (counts.get(b)! < counts.get(a)! ? b : a));
    const idsByWord = Map.groupBy(ids, (id) => rarest(words[ids.indexOf(id)]!));
    await indexed(channelId, rarest(words.at(-1)!), ids.at(-1)!);
    let found = 0;
    const queries = idsByWord[Symbol.iterator]();
    await Promise.all(
      Array.from({ length: searchesMax }, async () => {
        for (const [query, wanted] of queries) {
          const hits = new Set(await find({ query, channelId }, ann.calls));
          found += wanted.filter((id) => hits.has(id)).length;
        }
      }),
    );
    return found;
  }

  it("[H4] is over one's own channels, also over HTTP, and marks what it finds", async () => {
    const both = await ann.createGroup([ben]);
    const own = await ann.createGroup([]);
    const shared = await ann.say(both, "Der Küchenchef kommt 👍");
    const secret = await ann.say(own, "der KÜCHENCHEF geht");
    await indexed(both, "küchenchef", shared);
    await indexed(own, "küchenchef", secret);
    expect(await find({ query: "küchenchef" })).toEqual([secret, shared]);
    expect(await find({ query: "küchenchef" }, ben.calls)).toEqual([shared]);
    const search = { query: "küchenchef", channelId: own };
    expect(await find(search, ben.calls).catch(errorReason)).toBe("NOT_A_MEMBER");
    const { hits } = await messages.searchMessages({ query: '"chef 👍" kommt' });
    expect(hits).toEqual([]);
    const marked = await messages.searchMessages({ query: "kommt küchenchef" });
    expect(marked.hits[0]!.highlights).toMatchObject([
      { start: 4, end: 14 },
      { start: 15, end: 20 },
    ]);
  });

  it("[G4] finds nothing of what was said after one's removal", async () => {
    const channelId = await ann.createGroup([ben]);
    const before = await ann.say(channelId, "Leuchtturm eins");
    await ann.calls.removeMember({
      ...{ channelId, clientMessageId: ann.client.newClientMessageId(), userId: ben.userId },
    });
    const after = await ann.say(channelId, "Leuchtturm zwei");
    await indexed(channelId, "leuchtturm", after);
    expect(await find({ query: "leuchtturm" }, ben.calls)).toEqual([before]);
    expect(await find({ query: "leuchtturm", channelId }, ben.calls)).toEqual([before]);
    expect(await find({ query: "leuchtturm" })).toEqual([after, before]);
  });
});
