import fc from "fast-check";
import { afterAll, beforeEach, expect, inject, it } from "vitest";
import { newKeyspace } from "../../mesh/cassandra-under-test.ts";
import { type Clock, systemClock } from "../../mesh/clock.ts";
import { presenceStoreContract } from "./presence-store.contract.ts";
import { openCassandraPresenceStore } from "./presence-store-cassandra.ts";
import { MemoryPresenceStore } from "./presence-store-memory.ts";

const keyspace = await newKeyspace(inject("servers").cassandraAddress);
beforeEach(() => keyspace.clear());
afterAll(() => keyspace.drop());

presenceStoreContract("Cassandra", () => openCassandraPresenceStore(keyspace.options));

it("[P5] lists and reads as the store in memory does, though the clock goes back", async () => {
  let nowMs = Date.now();
  const clock: Clock = { ...systemClock, nowMs: () => nowMs-- };
  const store = await openCassandraPresenceStore({ ...keyspace.options, clock });
  const model = new MemoryPresenceStore();
  const userId = fc.string({
    unit: fc.constantFrom("a", "b", "z", "0"),
    minLength: 1,
    maxLength: 4,
  });
  const row = fc.record({ userId, isOnline: fc.boolean(), lastActiveMs: fc.nat(1_000) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(row, { minLength: 1, maxLength: 30 }),
      userId,
      fc.integer({ min: 1, max: 20 }),
      async (rows, after, limit) => {
        await Promise.all([store.put(rows), model.put(rows)]);
        const userIds = rows.map((each) => each.userId);
        expect(await store.get(userIds)).toEqual(await model.get(userIds));
        expect(await store.listOnline("", 1_000)).toEqual(await model.listOnline("", 1_000));
        expect(await store.listOnline(after, limit)).toEqual(await model.listOnline(after, limit));
      },
    ),
    { numRuns: 40 },
  );
  await store.close();
});

it("[P5] lists users of more beginnings than it looks up at a time", async () => {
  const store = await openCassandraPresenceStore(keyspace.options);
  const rows = Array.from({ length: 200 }, (_, i) => ({
    userId: `${(i + 100).toString(36)}-user`,
    isOnline: true,
    lastActiveMs: i,
  })).sort((a, b) => (a.userId < b.userId ? -1 : 1));
  await store.put(rows);
  expect(await store.listOnline("", 1_000)).toEqual(rows);
  expect(await store.listOnline(rows[99]!.userId, 50)).toEqual(rows.slice(100, 150));
  await store.close();
});
