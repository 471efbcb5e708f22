import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { MessageKind, RevisionSchema } from "../../../gen/parley/message/v1/message_pb.js";
import {
  type ListMessagesRequestSchema,
  MessageOrder,
  MessageService,
} from "../../../gen/parley/message/v1/message_service_pb.js";
import { MessageFixture, type MessageInstance, retentionMs } from "../message-fixture.ts";

const { method } = MessageService;
const { NEWEST_FIRST, OLDEST_FIRST } = MessageOrder;

type Request = Omit<MessageInitShape<typeof ListMessagesRequestSchema>, "$typeName" | "channelId">;

/** A group of ann and ben. */
async function setUp(settings: { historyBeforeJoining?: boolean } = {}) {
  const fixture = new MessageFixture();
  const instance = fixture.instance();
  const { channel } = await instance.call("ann", method.createGroup, {
    ...{ clientMessageId: fixture.clientId(), name: "group", userIds: ["ben"], public: true },
    ...settings,
  });
  const { channelId } = channel!;
  const ids: bigint[] = [];
  const send = async (text: string, userId = "ann") => {
    const request = { channelId, clientMessageId: fixture.clientId(), text };
    ids.push((await instance.call(userId, method.sendMessage, request)).messageId);
    return ids.at(-1)!;
  };
  const change = (
    userId: string,
    rpc: "addMembers" | "removeMember" | "joinGroup" | "leaveGroup",
    rest = {},
  ) =>
    instance.call(userId, method[rpc], { channelId, clientMessageId: fixture.clientId(), ...rest });
  const list = (request: Request = {}, userId = "ann", from: MessageInstance = instance) =>
    from.call(userId, method.listMessages, { channelId, ...request });
  /** The texts of a page. */
  const texts = async (request: Request = {}, userId = "ann") =>
    (await list(request, userId)).messages.flatMap(({ body }) =>
      body.case === "text" ? body.value : [],
    );
  /** The numbers of the items on the pages from one end to the other. */
  const walk = async (request: Request, userId = "ann") => {
    const pages: number[][] = [];
    for (let pageToken = "", more = true; more; more = pageToken !== "") {
      const page = await list({ ...request, pageToken }, userId);
      pages.push(page.messages.map(({ channelSequence }) => channelSequence));
      pageToken = page.nextPageToken;
    }
    return pages;
  };
  /**
   * Items 2 to 30: up to 11 in the store alone, up to 21 in the store and the log, the rest in
   * the log alone.
   */
  const fill = async () => {
    for (let n = 2; n <= 11; n++) await send(`${n}`);
    await fixture.work();
    await fixture.pass(retentionMs);
    await fixture.work();
    for (let n = 12; n <= 21; n++) await send(`${n}`);
    await fixture.work();
    for (let n = 22; n <= 30; n++) await send(`${n}`);
  };
  return { fixture, instance, channelId, ids, send, change, list, texts, walk, fill };
}

function numbers(from: number, to: number): number[] {
  const step = from <= to ? 1 : -1;
  return Array.from({ length: Math.abs(to - from) + 1 }, (_, i) => from + i * step);
}

describe("a channel's history", () => {
  it("[H2] is paged both ways, whatever lies in the store and what in the log", async () => {
    const { walk, fill } = await setUp();
    await fill();
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 40 }), async (pageSize) => {
        const up = await walk({ pageSize, order: OLDEST_FIRST });
        expect(up.flat()).toEqual(numbers(1, 30));
        expect(up.slice(0, -1).every((page) => page.length === pageSize)).toBe(true);
        expect((await walk({ pageSize, order: NEWEST_FIRST })).flat()).toEqual(numbers(30, 1));
      }),
      { numRuns: 12 },
    );
  });

  it("[H2] is turned round by the token of the page before", async () => {
    const { list, fill } = await setUp();
    await fill();
    const shown = ({ messages }: Awaited<ReturnType<typeof list>>) =>
      messages.map(({ channelSequence }) => channelSequence);
    const first = await list({ pageSize: 10 });
    expect(first.previousPageToken).toBe("");
    const second = await list({ pageSize: 10, pageToken: first.nextPageToken });
    expect(shown(second)).toEqual(numbers(20, 11));
    const back = await list({ pageSize: 10, pageToken: second.previousPageToken });
    expect(shown(back)).toEqual(shown(first));
  });

  it("[H3] is shown around any message", async () => {
    const { list, ids, fill } = await setUp();
    await fill();
    for (const [i, value] of ids.entries()) {
      const page = await list({
        pageSize: 5,
        order: OLDEST_FIRST,
        start: { case: "aroundMessageId", value },
      });
      const number = i + 2;
      const from = Math.max(1, number - 2);
      expect(page.messages.map(({ channelSequence }) => channelSequence)).toEqual(
        numbers(from, Math.min(30, from + 4)),
      );
    }
  });

  it("[H3] goes on from a page around a message to both sides", async () => {
    const { list, ids, fill } = await setUp();
    await fill();
    const page = await list({
      ...{ pageSize: 4, order: OLDEST_FIRST },
      start: { case: "aroundMessageId", value: ids[13]! },
    });
    expect(page.messages.map(({ channelSequence }) => channelSequence)).toEqual([13, 14, 15, 16]);
    const older = await list({
      pageSize: 3,
      order: OLDEST_FIRST,
      pageToken: page.previousPageToken,
    });
    expect(older.messages.map(({ channelSequence }) => channelSequence)).toEqual([10, 11, 12]);
    const newer = await list({ pageSize: 3, order: OLDEST_FIRST, pageToken: page.nextPageToken });
    expect(newer.messages.map(({ channelSequence }) => channelSequence)).toEqual([17, 18, 19]);
  });

  it("[H2] is filtered by sender, by kind and by time", async () => {
    const { fixture, send, change, texts, list } = await setUp();
    await send("a1");
    await send("b1", "ben");
    await fixture.pass(60_000);
    const middleMs = fixture.clock.nowMs();
    await send("a2");
    await change("cem", "joinGroup");
    await fixture.work();
    await send("b2", "ben");
    expect(await texts({ senderId: "ben" })).toEqual(["b2", "b1"]);
    expect(await texts({ maxTime: timestampFromMs(middleMs) })).toEqual(["b1", "a1"]);
    expect(await texts({ minTime: timestampFromMs(middleMs), order: OLDEST_FIRST })).toEqual([
      "a2",
      "b2",
    ]);
    const changes = await list({ kind: MessageKind.MEMBERSHIP_CHANGE });
    expect(changes.messages.map(({ channelSequence }) => channelSequence)).toEqual([5, 1]);
    expect((await list({ kind: MessageKind.TEXT })).messages).toHaveLength(4);
  });

  it("[H6] shows a message from its acknowledgement on, on every instance, without any worker", async () => {
    const { fixture, send, list } = await setUp();
    const other = fixture.instance();
    for (let n = 2; n < 10; n++) {
      const id = await send(`${n}`);
      expect((await list({ pageSize: 1 }, "ben", other)).messages[0]!.messageId).toBe(id);
    }
  });

  it("[M2] ends a page early rather than make it too large for a frame", async () => {
    const { send, walk } = await setUp();
    const text = "語".repeat(90_000);
    for (let n = 2; n < 6; n++) await send(text);
    expect(await walk({ order: OLDEST_FIRST })).toEqual([[1, 2], [3], [4], [5]]);
    expect(await walk({ order: NEWEST_FIRST })).toEqual([[5], [4], [3], [2, 1]]);
  });

  it("[R1] ends a page early as well where its messages have many reactions", async () => {
    const { fixture, channelId, ids, send, walk } = await setUp();
    for (let n = 2; n < 6; n++) await send("short");
    await fixture.work();
    for (const [i, messageId] of ids.entries()) {
      const revisions = Array.from({ length: 1_000 }, (_, n) => {
        const emoji = `${n}`.padStart(64, "x");
        const rest = { channelId, messageId, messageChannelSequence: i + 2, senderId: "ben" };
        const channelSequence = 1_000 * (i + 1) + n;
        const change = { case: "reactionAdded" as const, value: { emoji } };
        return create(RevisionSchema, { ...rest, channelSequence, change });
      });
      await fixture.store.apply({ revisions });
    }
    expect(await walk({ order: OLDEST_FIRST })).toEqual([[1, 2], [3], [4], [5]]);
  });

  it("[M2] holds few texts at once, and ends a page early rather than look at too many bytes", async () => {
    const { fixture, send, list, walk } = await setUp();
    const text = "語".repeat(90_000);
    for (let n = 2; n <= 60; n++) await send(text);
    await send("from ben", "ben");
    await fixture.work();
    const read = vi.spyOn(fixture.store, "listMessages");
    expect((await list({ pageSize: 200 })).messages).toHaveLength(2);
    expect(read.mock.calls.map(([{ limit }]) => limit)).toEqual([51]);
    const pages = await walk({ senderId: "ben", order: OLDEST_FIRST });
    expect(pages).toEqual([[], [61]]);
    expect(read.mock.calls.every(([{ limit }]) => limit === 51)).toBe(true);
    read.mockClear();
    await list({ senderId: "nobody" });
    expect(read).toHaveBeenCalledTimes(1);
  });

  it("[G4] shows who was removed what came up to the removal, and nobody else anything", async () => {
    const { fixture, send, change, walk, list } = await setUp();
    await send("2");
    await change("ann", "removeMember", { userId: "ben" });
    await send("4");
    await change("ann", "addMembers", { userIds: ["ben"] });
    await send("6");
    const isRight = async () =>
      expect((await walk({ order: OLDEST_FIRST }, "ben")).flat()).toEqual([1, 2, 3, 5, 6]);
    await isRight();
    await fixture.work();
    await isRight();
    await change("ben", "leaveGroup");
    await send("8");
    expect((await walk({ order: NEWEST_FIRST }, "ben")).flat()).toEqual([7, 6, 5, 3, 2, 1]);
    await expect(list({}, "eve")).rejects.toMatchObject({ reason: "NOT_A_MEMBER" });
  });

  it("[G4] shows new members what came before, where the group's setting says so", async () => {
    for (const historyBeforeJoining of [true, false]) {
      const { send, change, walk } = await setUp({ historyBeforeJoining });
      await send("2");
      await change("cem", "joinGroup");
      await send("4");
      const shown = (await walk({ order: OLDEST_FIRST }, "cem")).flat();
      expect(shown).toEqual(historyBeforeJoining ? [1, 2, 3, 4] : [3, 4]);
    }
  });

  it("[R2] is served from the log while the store is away, and says what may be missing", async () => {
    const { fixture, list, ids, fill } = await setUp();
    await fill();
    fixture.storeFaults.chances = { readFails: 1 };
    const page = await list({ order: OLDEST_FIRST, pageSize: 100 });
    expect(page.messages.map(({ channelSequence }) => channelSequence)).toEqual(numbers(12, 30));
    expect(page).toMatchObject({
      degraded: true,
      degradedRanges: [{ minMessageId: 1n, maxMessageId: ids[10]! - 1n }],
    });
  });

  it("[R2] is not degraded where the log holds all of it", async () => {
    const { fixture, send, list } = await setUp();
    await send("2");
    fixture.storeFaults.chances = { readFails: 1 };
    const page = await list();
    expect(page).toMatchObject({ degraded: false, degradedRanges: [] });
    expect(page.messages).toHaveLength(2);
  });

  it("[R2] is UNAVAILABLE, not refused, where only the store could tell whether one may read", async () => {
    const { fixture, change, fill, list } = await setUp();
    await change("ben", "leaveGroup");
    await fill();
    fixture.storeFaults.chances = { readFails: 1 };
    await expect(list({}, "ben")).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    fixture.storeFaults.chances = {};
    expect((await list({}, "ben")).messages).toHaveLength(2);
  });

  it("[R1] [R2] costs few readings of the log for many who read while the store is away", async () => {
    const { fixture, change, list, fill } = await setUp();
    const readers = Array.from({ length: 10 }, (_, i) => `reader${i}`);
    for (const reader of readers) await change(reader, "joinGroup");
    await fill();
    fixture.storeFaults.chances = { readFails: 1 };
    await list();
    const log = vi.spyOn(fixture.streams.log, "read");
    await list();
    const ofOne = log.mock.calls.length;
    expect(ofOne).toBeGreaterThan(0);
    log.mockClear();
    const asked = readers.flatMap((reader) => Array.from({ length: 6 }, () => list({}, reader)));
    const pages = await Promise.all(asked);
    expect(new Set(pages.map(({ messages }) => messages.length)).size).toBe(1);
    expect(log.mock.calls.length).toBeLessThanOrEqual(3 * ofOne);
  });

  it("[R2] [H6] is served from the store while the log is away, and says what may be missing", async () => {
    const { fixture, list, walk, ids, fill } = await setUp();
    await fill();
    fixture.streamFaults.chances = { unavailable: 1 };
    const page = await list({ order: OLDEST_FIRST, pageSize: 100 });
    expect(page.messages.map(({ channelSequence }) => channelSequence)).toEqual(numbers(1, 21));
    expect(page).toMatchObject({
      degraded: true,
      degradedRanges: [{ minMessageId: ids[19]! + 1n, maxMessageId: 2n ** 63n - 1n }],
    });
    expect((await walk({ pageSize: 4, order: NEWEST_FIRST })).flat()).toEqual(numbers(21, 1));
    expect((await walk({ pageSize: 4, order: OLDEST_FIRST })).flat()).toEqual(numbers(1, 21));
    fixture.streamFaults.chances = {};
    expect((await walk({ pageSize: 4, order: OLDEST_FIRST })).flat()).toEqual(numbers(1, 30));
  });

  it("[R2] [G4] shows of the store what the reader's stays allow, while the log is away", async () => {
    const { fixture, send, change, walk } = await setUp();
    await send("2");
    await change("ann", "removeMember", { userId: "ben" });
    await send("4");
    await change("ben", "joinGroup");
    await send("6");
    await fixture.work();
    fixture.streamFaults.chances = { unavailable: 1 };
    expect((await walk({ order: OLDEST_FIRST }, "ben")).flat()).toEqual([1, 2, 3, 5, 6]);
  });

  it("[R2] [G4] shows nothing of a batch that is not in the store whole, while the log is away", async () => {
    const { fixture, channelId, send, change, walk } = await setUp();
    await send("2");
    await fixture.work();
    await change("ann", "removeMember", { userId: "ben" });
    await send("4");
    const items = (await fixture.entriesOf(channelId)).flatMap((entry) => entry.items);
    const { item } = items.at(-1)!;
    const messages = item.case === "message" ? [item.value] : [];
    await fixture.store.apply({ messages, memberships: [], channels: [] });
    fixture.streamFaults.chances = { unavailable: 1 };
    expect((await walk({ order: OLDEST_FIRST }, "ben")).flat()).toEqual([1, 2]);
  });

  it("[R2] is UNAVAILABLE, not refused, while the log is away that could tell who has joined", async () => {
    const { fixture, send, change, list } = await setUp();
    await send("2");
    await fixture.work();
    await change("cem", "joinGroup");
    fixture.streamFaults.chances = { unavailable: 1 };
    await expect(list({}, "cem")).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    await expect(list({}, "eve")).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  });

  it("[R2] is UNAVAILABLE while both log and store are away", async () => {
    const { fixture, send, list } = await setUp();
    await send("2");
    fixture.streamFaults.chances = { unavailable: 1 };
    fixture.storeFaults.chances = { readFails: 1 };
    await expect(list()).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  });

  it.each([
    ["page_token", { pageToken: "x" }],
    ["page_size", { pageSize: -1 }],
    ["sender_id", { senderId: "Nobody!" }],
    ["before_message_id", { start: { case: "beforeMessageId", value: -1n } }],
    ["max_time", { minTime: timestampFromMs(2), maxTime: timestampFromMs(2) }],
  ] satisfies [string, Request][])("is refused for a bad %s", async (field, request) => {
    const { list } = await setUp();
    await expect(list(request)).rejects.toMatchObject({
      reason: "FIELD_INVALID",
      details: { fieldViolations: [{ field }] },
    });
  });
});
