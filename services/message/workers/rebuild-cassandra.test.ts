import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import {
  MembershipChange_Kind as ChangeKind,
  MembershipChangeSchema,
} from "../../../gen/parley/message/v1/message_pb.js";
import { newKeyspace } from "../../../mesh/cassandra-under-test.ts";
import { MemorySearchIndex } from "../search/search-index-memory.ts";
import { parseQuery } from "../search/search-query.ts";
import type { MessageStore } from "../store/message-store.ts";
import { openCassandraMessageStore } from "../store/message-store-cassandra.ts";
import { channel, message } from "../store/message-store-under-test.ts";
import { rebuildAll, rebuildSearch, rebuildStore } from "./rebuild.ts";

/** More messages than a page of them. */
const texts = 1_200;

describe("a rebuild on Cassandra", () => {
  let keyspace: Awaited<ReturnType<typeof newKeyspace>>;
  let store: MessageStore;
  beforeAll(async () => {
    keyspace = await newKeyspace(inject("servers").cassandraAddress);
    store = await openCassandraMessageStore(keyspace.options);
    const change = { kind: ChangeKind.CREATED, userIds: ["u1", "u2"] };
    const body = {
      case: "membershipChange" as const,
      value: create(MembershipChangeSchema, change),
    };
    await store.apply({ messages: [message(1n, { body })] });
    for (let from = 2; from < texts + 2; from += 400) {
      const messages = Array.from({ length: 400 }, (_, i) => {
        return message(BigInt(from + i), { channelSequence: from + i });
      });
      await store.apply({ messages });
    }
    await store.apply({ channels: [channel(texts + 1)] });
  });
  afterAll(async () => {
    await store.close();
    await keyspace.drop();
  });

  it("[R2] finds messages again where their buckets were lost", async () => {
    const range = { channelId: "g-1", newestFirst: true, limit: 1 };
    const [row] = await store.listAllChannels("", 1);
    await keyspace.run("TRUNCATE $.buckets_by_channel");
    expect(await store.listMessages(range)).toEqual([]);
    await store.findMessages(row!);
    expect(await store.listMessages(range)).toHaveLength(1);
  });

  it("[R2] of the store brings memberships back, also by user", async () => {
    expect(await store.listChannelIds("u2", "", 10)).toEqual([]);
    let last = { channels: 0, messages: 0 };
    for await (last of rebuildAll(store, rebuildStore(store))) {
      expect(last.messages).toBeGreaterThan(0);
    }
    expect(last).toEqual({ channels: 1, messages: texts + 1 });
    expect(await store.listChannelIds("u2", "", 10)).toEqual(["g-1"]);
    expect(await store.listStays("g-1", "u2")).toMatchObject([{ joinedSequence: 1 }]);
  });

  it("[R2] of the search index finds every text", async () => {
    const index = new MemorySearchIndex();
    for await (const _ of rebuildAll(store, rebuildSearch(index), "g-1"));
    const query = { userId: "u2", phrases: parseQuery("text"), byRank: false, limit: 10_000 };
    expect(await index.find(query)).toHaveLength(texts);
  });
});
