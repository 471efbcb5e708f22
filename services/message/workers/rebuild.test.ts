import { describe, expect, it } from "vitest";
import { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { MessageFixture } from "../message-fixture.ts";
import { MemorySearchIndex } from "../search/search-index-memory.ts";
import { parseQuery } from "../search/search-query.ts";
import { MemoryMessageStoreServer } from "../store/message-store-memory.ts";
import { type Rebuild, rebuildAll, rebuildSearch, rebuildStore } from "./rebuild.ts";

const { method } = MessageService;

/**
 * Groups of ann and ben with a text that was edited and one that was deleted, which cleo joins by a
 * link and ben is banned from.
 */
async function setUp() {
  const fixture = new MessageFixture();
  const instance = fixture.instance();
  const client = () => ({ clientMessageId: fixture.clientId() });
  const channelIds: string[] = [];
  for (let n = 0; n < 3; n++) {
    const group = { ...client(), name: "group", userIds: ["ben"] };
    const { channel } = await instance.call("ann", method.createGroup, group);
    const { channelId } = channel!;
    channelIds.push(channelId);
    const send = async (text: string) => {
      const request = { channelId, ...client(), text };
      return (await instance.call("ann", method.sendMessage, request)).messageId;
    };
    const edited = await send("old");
    const deleted = await send("gone");
    await instance.call("ann", method.editMessage, {
      ...{ channelId, ...client(), messageId: edited, text: "word new" },
    });
    await instance.call("ann", method.deleteMessage, {
      channelId,
      ...client(),
      messageId: deleted,
    });
    await instance.call("ben", method.addReaction, {
      ...{ channelId, ...client(), messageId: edited, emoji: "👍" },
    });
    const link = { channelId, ...client(), maxUses: 2 };
    const { inviteToken } = await instance.call("ann", method.createInviteLink, link);
    await instance.call("cleo", method.joinGroup, { channelId, ...client(), inviteToken });
    await instance.call("ann", method.banUser, { channelId, ...client(), userId: "ben" });
    await send("word later");
  }
  await fixture.work();
  const run = async (rebuild: Rebuild, channelId?: string) => {
    const told = [];
    for await (const progress of rebuildAll(fixture.store, rebuild, channelId)) told.push(progress);
    return told;
  };
  return { fixture, channelIds, run };
}

describe("a rebuild", () => {
  it("[R2] of the search index makes what the worker had made", async () => {
    const { fixture, channelIds, run } = await setUp();
    const rebuilt = new MemorySearchIndex();
    const told = await run(rebuildSearch(rebuilt));
    expect(told.at(-1)).toEqual({ channels: 3, messages: 21 });
    for (const userId of ["ann", "ben", "cleo"]) {
      for (const word of ["word", "old", "gone"]) {
        const query = { userId, phrases: parseQuery(word), byRank: false, limit: 100 };
        expect(await rebuilt.find(query)).toEqual(await fixture.index.find(query));
      }
    }
    const one = new MemorySearchIndex();
    await run(rebuildSearch(one), channelIds[1]!);
    const query = { userId: "ann", phrases: parseQuery("word"), byRank: false, limit: 100 };
    expect((await one.find(query)).map(({ channelId }) => channelId)).toEqual([
      channelIds[1],
      channelIds[1],
    ]);
  });

  it("[R2] of the store brings back who is where and what was sent under which id", async () => {
    const { fixture, channelIds, run } = await setUp();
    const { clock } = fixture;
    const lost = new MemoryMessageStoreServer(clock).connect();
    const rebuild = rebuildStore(lost);
    expect((await run(rebuild)).at(-1)).toEqual({ channels: 3, messages: 21 });
    await run(rebuild);
    for (const userId of ["ann", "ben"]) {
      const ids = (store: typeof lost) => store.listChannelIds(userId, "", 100);
      expect(await ids(lost)).toEqual(await ids(fixture.store));
      for (const channelId of channelIds) {
        const stays = await fixture.store.listStays(channelId, userId);
        expect(await lost.listStays(channelId, userId)).toEqual(stays);
        expect(await lost.getAccess(channelId)).toEqual(await fixture.store.getAccess(channelId));
        const all = { channelId, minSequence: 1, maxSequence: 100, limit: 100 };
        const revisions = await fixture.store.listRevisions(all);
        expect(revisions).toHaveLength(3);
        expect(await lost.listRevisions(all)).toEqual(revisions);
      }
    }
    const [channelId] = channelIds;
    const range = { channelId: channelId!, newestFirst: true, limit: 1 };
    const [last] = await fixture.store.listMessages(range);
    const { senderId, clientMessageId, messageId } = last!.message;
    expect(await lost.findSend(channelId!, senderId, clientMessageId)).toMatchObject({ messageId });
  });

  it("[R2] of the store in itself changes nothing that was right", async () => {
    const { fixture, channelIds, run } = await setUp();
    const all = () =>
      Promise.all(
        channelIds.map((channelId) =>
          fixture.store.listMessages({ channelId, newestFirst: false, limit: 100 }),
        ),
      );
    const before = await all();
    await run(rebuildStore(fixture.store));
    expect(await all()).toEqual(before);
  });
});
