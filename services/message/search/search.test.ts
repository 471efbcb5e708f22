import type { MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it, vi } from "vitest";
import {
  MessageService,
  type SearchMessagesRequestSchema,
} from "../../../gen/parley/message/v1/message_service_pb.js";
import { SearchOrder } from "../../../gen/parley/message/v1/search_pb.js";
import { SqlUnavailable } from "../../../mesh/sql.ts";
import { MessageFixture } from "../message-fixture.ts";

const { method } = MessageService;

type Request = Omit<MessageInitShape<typeof SearchMessagesRequestSchema>, "$typeName">;

/** Two groups, of ann and ben and of ann and cleo. */
async function setUp() {
  const fixture = new MessageFixture();
  const instance = fixture.instance();
  const group = async (userId: string) => {
    const request = { clientMessageId: fixture.clientId(), name: "group", userIds: [userId] };
    const { channel } = await instance.call("ann", method.createGroup, request);
    return channel!.channelId;
  };
  const ben = await group("ben");
  const cleo = await group("cleo");
  const send = (channelId: string, text: string, userId = "ann") =>
    instance.call(userId, method.sendMessage, {
      ...{ channelId, clientMessageId: fixture.clientId(), text },
    });
  const search = (userId: string, request: Request) =>
    instance.call(userId, method.searchMessages, request);
  /** The texts that are found, the newest first. */
  const texts = async (userId: string, query: string, rest: Request = {}) => {
    const order = SearchOrder.NEWEST_FIRST;
    const { hits } = await search(userId, { query, order, ...rest });
    return hits.map(({ message }) => message!.body.value);
  };
  return { fixture, instance, ben, cleo, send, search, texts };
}

describe("SearchMessages", () => {
  it("[H4] finds in one channel and in all of the caller's, and nothing of others", async () => {
    const { fixture, ben, cleo, send, texts } = await setUp();
    await send(ben, "a word to ben");
    await send(cleo, "a word to cleo");
    await fixture.work();
    expect(await texts("ann", "word")).toEqual(["a word to cleo", "a word to ben"]);
    expect(await texts("ann", "word", { channelId: ben })).toEqual(["a word to ben"]);
    expect(await texts("ben", "word")).toEqual(["a word to ben"]);
    expect(await texts("dora", "word")).toEqual([]);
    await expect(texts("ben", "word", { channelId: cleo })).rejects.toMatchObject({
      reason: "NOT_A_MEMBER",
    });
  });

  it("[H4] tells where the words are", async () => {
    const { fixture, ben, send, search } = await setUp();
    await send(ben, "👍 Große Häuser, GROSSE Bäume");
    await fixture.work();
    const { hits } = await search("ann", { query: "grosse häuser" });
    const { message, highlights } = hits[0]!;
    const text = message!.body.value as string;
    expect(highlights.map(({ start, end }) => text.slice(start, end))).toEqual([
      "Große",
      "Häuser",
      "GROSSE",
    ]);
  });

  it("[H4] pages through everything once, in either order, and by sender", async () => {
    const { fixture, ben, send, search, texts } = await setUp();
    const sent: string[] = [];
    for (let n = 1; n <= 25; n++) {
      sent.push(`${"tea ".repeat((n % 3) + 1)}${n}`);
      await send(ben, sent.at(-1)!, n % 2 === 0 ? "ann" : "ben");
    }
    await fixture.work();
    for (const order of [SearchOrder.RELEVANCE, SearchOrder.NEWEST_FIRST]) {
      const found: unknown[] = [];
      for (let pageToken = "", more = true; more; more = pageToken !== "") {
        const page = await search("ben", { query: "tea", order, pageSize: 7, pageToken });
        found.push(...page.hits.map(({ message }) => message!.body.value));
        pageToken = page.nextPageToken;
      }
      expect(found).toHaveLength(25);
      expect(new Set(found)).toEqual(new Set(sent));
    }
    expect(await texts("ben", "tea", { senderId: "ann", pageSize: 50 })).toHaveLength(12);
  });

  it("[H4] a page of long texts ends early and goes on", async () => {
    const { fixture, ben, send, search } = await setUp();
    for (let n = 0; n < 5; n++) await send(ben, `long ${"x".repeat(90_000)}`);
    await fixture.work();
    const first = await search("ann", { query: "long" });
    expect(first.hits).toHaveLength(1);
    let { nextPageToken } = first;
    for (let n = 1; n < 5; n++) {
      const page = await search("ann", { query: "long", pageToken: nextPageToken });
      expect(page.hits).toHaveLength(1);
      nextPageToken = page.nextPageToken;
    }
    expect(nextPageToken).toBe("");
  });

  it("[G4] who was removed finds what was said meanwhile and nothing later", async () => {
    const { fixture, instance, ben, send, texts } = await setUp();
    await send(ben, "word before");
    await instance.call("ann", method.removeMember, {
      ...{ channelId: ben, clientMessageId: fixture.clientId(), userId: "ben" },
    });
    await send(ben, "word after");
    await fixture.work();
    expect(await texts("ben", "word")).toEqual(["word before"]);
    expect(await texts("ben", "word", { channelId: ben })).toEqual(["word before"]);
    expect(await texts("ann", "word")).toEqual(["word after", "word before"]);
  });

  it("[G4] even where the index has not heard of the removal", async () => {
    const { fixture, instance, ben, send, texts } = await setUp();
    await send(ben, "word before");
    await fixture.work();
    const find = fixture.index.find.bind(fixture.index);
    await instance.call("ann", method.removeMember, {
      ...{ channelId: ben, clientMessageId: fixture.clientId(), userId: "ben" },
    });
    const { messageId } = await send(ben, "word after");
    const hit = { channelId: ben, messageId, rank: 0 };
    vi.spyOn(fixture.index, "find").mockImplementation(async (query) => [
      hit,
      ...(await find(query)),
    ]);
    expect(await texts("ben", "word")).toEqual(["word before"]);
  });

  it("[M9] finds what a text says now, and no deleted one", async () => {
    const { fixture, instance, ben, send, texts } = await setUp();
    const { messageId: edited } = await send(ben, "early word");
    const { messageId: deleted } = await send(ben, "other word");
    await fixture.work();
    const revise = { channelId: ben, clientMessageId: fixture.clientId() };
    await instance.call("ann", method.editMessage, {
      ...{ ...revise, messageId: edited, text: "late word" },
    });
    const clientMessageId = fixture.clientId();
    const deletion = { ...revise, clientMessageId, messageId: deleted };
    await instance.call("ann", method.deleteMessage, deletion);
    // What the index has not heard of is not shown as it was either.
    expect(await texts("ben", "early")).toEqual([]);
    expect(await texts("ben", "other")).toEqual([]);
    await fixture.work();
    expect(await texts("ben", "word")).toEqual(["late word"]);
    expect(await texts("ben", "early")).toEqual([]);
    expect(await texts("ben", "late")).toEqual(["late word"]);
  });

  it("[M9] [G4] who left does not find what a text was changed to later", async () => {
    const { fixture, instance, ben, send, texts } = await setUp();
    const { messageId } = await send(ben, "early word");
    const change = () => ({ channelId: ben, clientMessageId: fixture.clientId() });
    await instance.call("ben", method.leaveGroup, change());
    await instance.call("ann", method.editMessage, { ...change(), messageId, text: "late word" });
    await fixture.work();
    expect(await texts("ben", "word")).toEqual([]);
    expect(await texts("ann", "word")).toEqual(["late word"]);
  });

  it("[R2] says that all may be missing where the index is away", async () => {
    const { fixture, ben, send, search } = await setUp();
    await send(ben, "word");
    await fixture.work();
    vi.spyOn(fixture.index, "find").mockRejectedValueOnce(new SqlUnavailable("away"));
    const page = await search("ann", { query: "word" });
    expect(page).toMatchObject({ hits: [], degraded: true });
    expect(page.degradedRanges).toMatchObject([{ minMessageId: 1n }]);
    expect(await search("ann", { query: "word" })).toMatchObject({ degraded: false });
  });

  it("[R2] says from where on messages may be missing while the index is behind", async () => {
    const { fixture, ben, send, search } = await setUp();
    await send(ben, "word one");
    await fixture.work();
    const { messageId } = await send(ben, "word two");
    await send(ben, "word three");
    expect(await search("ben", { query: "word" })).toMatchObject({ degraded: false });
    await fixture.pass(20_000);
    for (const channelId of ["", ben]) {
      const page = await search("ben", { query: "word", channelId });
      expect(page.hits).toHaveLength(1);
      expect(page.degradedRanges).toMatchObject([{ minMessageId: messageId }]);
    }
    await fixture.work();
    const page = await search("ben", { query: "word" });
    expect(page.hits).toHaveLength(3);
    expect(page.degraded).toBe(false);
  });

  it("[R2] names what it has found and can't read", async () => {
    const { fixture, ben, send, search } = await setUp();
    const { messageId } = await send(ben, "word");
    await fixture.work();
    fixture.storeFaults.chances = { readFails: 1 };
    fixture.streamFaults.chances = { unavailable: 1 };
    const page = await fixture.instance().call("ann", method.searchMessages, { query: "word" });
    expect(page.hits).toEqual([]);
    expect(page.degradedRanges).toContainEqual(
      expect.objectContaining({ minMessageId: messageId, maxMessageId: messageId }),
    );
    fixture.storeFaults.chances = {};
    fixture.streamFaults.chances = {};
    expect(await search("ann", { query: "word" })).toMatchObject({ degraded: false });
  });

  it("[H4] refuses what can't be looked for", async () => {
    const { search } = await setUp();
    const bad: Request[] = [
      { query: "" },
      { query: "?!" },
      { query: "word", channelId: "x" },
      { query: "word", senderId: "X" },
      { query: "word", pageSize: -1 },
      { query: "word", pageToken: "AAAA" },
    ];
    for (const request of bad) {
      await expect(search("ann", request)).rejects.toMatchObject({ reason: "FIELD_INVALID" });
    }
  });
});

describe("ListMentions", () => {
  it("[H5] pages through what mentions the caller, the newest first, as it is now", async () => {
    const { fixture, instance, ben, cleo, send } = await setUp();
    const ids: bigint[] = [];
    for (let n = 0; n < 5; n++) {
      ids.push((await send(ben, `@ben look ${n}`)).messageId);
      await send(ben, "not ben");
      await send(cleo, "@cleo look");
    }
    const edit = { channelId: ben, clientMessageId: fixture.clientId(), messageId: ids[2]! };
    await instance.call("ann", method.editMessage, { ...edit, text: "nobody" });
    await fixture.work();
    const pages: bigint[][] = [];
    for (let pageToken = "", more = true; more; more = pageToken !== "") {
      const page = await instance.call("ben", method.listMentions, { pageSize: 2, pageToken });
      expect(page.degraded).toBe(false);
      pages.push(page.messages.map(({ messageId }) => messageId));
      pageToken = page.nextPageToken;
    }
    expect(pages).toEqual([
      [ids[4], ids[3]],
      [ids[1], ids[0]],
    ]);
    expect((await instance.call("ann", method.listMentions, {})).messages).toEqual([]);
  });
});
