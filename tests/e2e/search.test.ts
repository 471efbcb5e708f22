import type { Client } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { errorReason, MessageService, SearchOrder } from "../../edge/sdk/index.ts";
import { ownWords } from "../own-words.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { type Device, newDevices } from "./device.ts";
import { allDialogues } from "./dialogues.ts";

// A whole server takes its time on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

type SearchRequest = { query: string; channelId?: string };

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

  it("[H4] finds what was said in any language by a word of its own", async () => {
    const texts = [...Map.groupBy(allDialogues(), ({ language }) => language).values()].flatMap(
      ([first]) => first!.turns.slice(0, 2),
    );
    const channelId = await ann.createGroup([]);
    const ids = await Promise.all(texts.map((text) => ann.say(channelId, text)));
    const words = ownWords(texts);
    await indexed(channelId, words.at(-1)!, ids.at(-1)!);
    for (const [i, query] of words.entries()) {
      expect(await find({ query, channelId }, ann.calls), query).toContain(ids[i]);
    }
  });

  it("[H4] is over one's own channels, also over HTTP, and marks what it finds", async () => {
    const both = await ann.createGroup([ben]);
    const own = await ann.createGroup([]);
    const shared = await ann.say(both, "Der Küchenchef kommt 👍");
    const secret = await ann.say(own, "der KÜCHENCHEF geht");
    await indexed(both, "küchenchef", shared);
    await indexed(own, "küchenchef", secret);
    // Across channels ids are in the order of their times to the second, not to the message.
    const newestFirst = shared > secret ? [shared, secret] : [secret, shared];
    expect(await find({ query: "küchenchef" })).toEqual(newestFirst);
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
