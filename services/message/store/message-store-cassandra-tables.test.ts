/** What is Cassandra's own: timestamps, visits. The embedded store is the model. */
import { create, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import {
  MessageSchema,
  Revision_DeletionSchema,
} from "../../../gen/parley/message/v1/message_pb.js";
import { newKeyspace } from "../../../mesh/cassandra-under-test.ts";
import { type Clock, systemClock } from "../../../mesh/clock.ts";
import { firstMessageIdAt, snowflakeEpochMs } from "../../../mesh/ids.ts";
import type { MessageStore, StoreBatch } from "./message-store.ts";
import { openCassandraMessageStore } from "./message-store-cassandra.ts";
import { MemoryMessageStoreServer } from "./message-store-memory.ts";
import { channel, message, messagesOf, revision, stay } from "./message-store-under-test.ts";

const keyspace = await newKeyspace(inject("servers").cassandraAddress);
const { options } = keyspace;
let stores: MessageStore[];
beforeAll(async () => {
  // The second one's clock is behind.
  const clock: Clock = { ...systemClock, nowMs: () => Date.now() - 3_600_000 };
  stores = await Promise.all([
    openCassandraMessageStore(options),
    openCassandraMessageStore({ ...options, clock }),
  ]);
});
afterAll(async () => {
  await Promise.all(stores.map((store) => store.close()));
  await keyspace.drop();
});
const newModel = () => new MemoryMessageStoreServer(systemClock).connect();

const hourMs = 3_600_000;
const idAt = (hour: number) => firstMessageIdAt(snowflakeEpochMs + hour * hourMs);
let channels = 0;

describe("tables", { timeout: 60_000 }, () => {
  it("[M5] come out the same in whatever order and however often batches arrive", async () => {
    await fc.assert(
      fc.asyncProperty(replays, async ({ rows, order }) => {
        const model = newModel();
        const channelId = `r-${channels++}`;
        const userId = (i: number) => `${channelId}-u${i}`;
        const batches: StoreBatch[] = rows.map((batch) => ({
          messages: batch.messages.map(({ slot, sequence }) =>
            message(idAt(30 * slot), {
              ...{ channelId, clientMessageId: `c${slot}`, prevMessageId: 0n },
              channelSequence: slotLength * slot + sequence,
              body: { case: "text", value: `as of ${999_999 - sequence}` },
            }),
          ),
          // Where Cassandra had to choose by value it would choose the other one.
          channels: batch.channels.map((sequence) => ({
            ...channel(sequence, channelId),
            logSequence: 1_000 - sequence,
          })),
          memberships: batch.stays.map(({ user, joined, later }) =>
            stay({
              ...{ channelId, userId: userId(user), joinedSequence: joined * 10 },
              ...{ sequence: joined * 10 + later, leftSequence: later === 2 ? joined * 10 + 2 : 0 },
              role: 3 - later,
            }),
          ),
        }));
        for (const batch of batches) await model.apply(batch);
        for (const [i, at] of [...batches.keys(), ...order].sort(byKey(order)).entries()) {
          const batch = batches[at % batches.length];
          if (batch) await stores[i % 2]!.apply(batch);
        }
        expect(await contents(stores[0]!, channelId, userId)).toEqual(
          await contents(model, channelId, userId),
        );
      }),
      { numRuns: 25 },
    );
  });

  it("have a value in every column", async () => {
    const revisions = [
      revision(1n, 2, { case: "deletion", value: create(Revision_DeletionSchema) }),
    ];
    const batch = { messages: [message(1n)], channels: [channel(1)], memberships: [stay({})] };
    await stores[0]!.apply({ ...batch, revisions });
    const cursor = { inboxEpoch: "e", inboxSequence: 0, curMaxMessageId: 0n };
    await stores[0]!.putDeviceCursor({ userId: "null", deviceId: "d", ...cursor });
    const names =
      "messages revisions_by_channel buckets_by_channel splits sends_by_bucket sends_by_client_id channels members_by_channel";
    for (const table of `${names} channels_by_user cursors`.split(" ")) {
      const rows = await keyspace.run(`SELECT * FROM $.${table} LIMIT 1000`);
      expect(rows.length).toBeGreaterThan(0);
      for (const { reactions, ...row } of rows) {
        expect(Object.values(row), table).not.toContain(null);
      }
    }
  });

  it("[H1] take and give pages of the longest texts", async () => {
    const channelId = `l-${channels++}`;
    const text = "𝄞".repeat(99_999);
    // More than are read at one time.
    const messages = Array.from({ length: 60 }, (_, i) =>
      message(BigInt(i + 1), { channelId, body: { case: "text", value: text } }),
    );
    await stores[0]!.apply({ messages, channels: [], memberships: [] });
    const range = { channelId, newestFirst: true, limit: 250 };
    const read = await messagesOf(stores[0]!, range);
    expect(idsOf(read)).toEqual(idsOf(messages).reverse());
    expect(read.every(({ body }) => body.value === text)).toBe(true);
  });
});

it("[G4] every stay of a user who came and went 6,000 times is listed", async () => {
  const channelId = `s-${channels++}`;
  const stays = Array.from({ length: 6_000 }, (_, i) =>
    stay({ channelId, joinedSequence: 2 * i + 1, leftSequence: 2 * i + 2, sequence: 2 * i + 2 }),
  );
  for (let from = 0; from < stays.length; from += 1_000) {
    const memberships = stays.slice(from, from + 1_000);
    await stores[0]!.apply({ messages: [], channels: [], memberships });
  }
  expect(await stores[0]!.listStays(channelId, "u1")).toEqual(stays);
  expect(await stores[0]!.listMembers(channelId, "", 10)).toEqual([]);
});

describe("device cursors", () => {
  it("[S1] stand where one store alone would have them, whatever the processes' clocks", async () => {
    let devices = 0;
    const put = fc.record({
      store: fc.nat(1),
      inboxEpoch: fc.constantFrom("e1", "e2"),
      inboxSequence: fc.nat(5),
      curMaxMessageId: fc.bigInt({ min: 0n, max: 5n }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(put, { maxLength: 12 }), async (puts) => {
        const model = newModel();
        const device = { userId: "model", deviceId: `d${devices++}` };
        for (const { store, ...numbers } of puts) {
          const row = { ...device, ...numbers };
          await Promise.all([model.putDeviceCursor(row), stores[store]!.putDeviceCursor(row)]);
          const read = await stores[1 - store]!.getDeviceCursor(device.userId, device.deviceId);
          expect(read).toEqual(await model.getDeviceCursor(device.userId, device.deviceId));
        }
      }),
      { numRuns: 40 },
    );
  });

  it("[S1] that come to another epoch from two sides at once end at the greatest", async () => {
    const device = { userId: "race", deviceId: "d" };
    const put = (store: number, inboxEpoch: string, at: number) =>
      stores[store]!.putDeviceCursor({
        ...{ ...device, inboxEpoch, inboxSequence: at, curMaxMessageId: BigInt(10 - at) },
      });
    for (let round = 1; round <= 10; round++) {
      await put(0, "e1", round);
      const places = round % 2 ? [3, 7, 5] : [7, 3, 5];
      await Promise.all(places.map((at, i) => put(i % 2, `to${round}`, at)));
      expect(await stores[1]!.getDeviceCursor("race", "d")).toMatchObject({
        ...{ inboxEpoch: `to${round}`, inboxSequence: 7, curMaxMessageId: 7n },
      });
    }
  });
});

const idsOf = (messages: readonly { messageId: bigint }[]) =>
  messages.map(({ messageId }) => messageId);

/** Sequences to a slot: some lie in narrow buckets, and no border between those of one slot. */
const slotLength = 17_000;

/** Batches, and in which order some of them come again. */
const replays = fc.record({
  rows: fc.array(
    fc.record({
      messages: fc.array(
        fc.record({ slot: fc.nat(12), sequence: fc.integer({ min: 1, max: 9 }) }),
        { maxLength: 6 },
      ),
      channels: fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 2 }),
      stays: fc.array(
        fc.record({ user: fc.nat(2), joined: fc.integer({ min: 1, max: 3 }), later: fc.nat(2) }),
        { maxLength: 5 },
      ),
    }),
    { maxLength: 6 },
  ),
  order: fc.array(fc.nat(50), { minLength: 6, maxLength: 12 }),
});

function byKey(keys: readonly number[]) {
  return (a: number, b: number) => keys[a % keys.length]! - keys[b % keys.length]!;
}

async function contents(store: MessageStore, channelId: string, userId: (i: number) => string) {
  const messages = await messagesOf(store, { channelId, newestFirst: false, limit: 1_000 });
  const users = [0, 1, 2].map(userId);
  return {
    messages: messages.map((each) => toJson(MessageSchema, each)),
    sends: await Promise.all(
      Array.from({ length: 13 }, (_, slot) => store.findSend(channelId, "u1", `c${slot}`)),
    ),
    channel: await store.getChannel(channelId),
    members: await store.listMembers(channelId, "", 1_000),
    stays: await Promise.all(users.map((user) => store.listStays(channelId, user))),
    channelIds: await Promise.all(users.map((user) => store.listChannelIds(user, "", 10))),
  };
}
