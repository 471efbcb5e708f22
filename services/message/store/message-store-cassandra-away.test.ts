import { afterAll, afterEach, beforeEach, describe, expect, inject, it, vi } from "vitest";
import { newKeyspace } from "../../../mesh/cassandra-under-test.ts";
import { type Clock, systemClock } from "../../../mesh/clock.ts";
import { ConfigError } from "../../../mesh/config.ts";
import { TcpProxy } from "../../../mesh/tcp-proxy.ts";
import { type MessageStore, StoreUnavailable } from "./message-store.ts";
import { openCassandraMessageStore } from "./message-store-cassandra.ts";
import { channel } from "./message-store-under-test.ts";

const address = inject("servers").cassandraAddress;
const keyspaces = [await newKeyspace(address), await newKeyspace(address)] as const;
const [kept, fresh] = keyspaces;
afterAll(() => Promise.all(keyspaces.map((keyspace) => keyspace.drop())));

/** Waits a tenth of the time. */
const hurried: Clock = {
  ...systemClock,
  setTimer: (delayMs, callback) => systemClock.setTimer(delayMs / 10, callback),
};

let proxy: TcpProxy;
const opened: MessageStore[] = [];
const open = async (options = kept.options) => {
  const store = await openCassandraMessageStore(options);
  opened.push(store);
  return store;
};
const throughProxy = () => ({ ...kept.options, contactPoints: [proxy.address], clock: hurried });
beforeEach(async () => {
  proxy = await TcpProxy.start(address);
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((store) => store.close()));
  await proxy.stop();
});
const comesBack = (store: MessageStore) =>
  vi.waitFor(() => store.getChannel("g-1"), { timeout: 15_000, interval: 100 });
/** One that has connected: on a busy machine it may open before. */
const openConnected = async () => {
  const store = await open(throughProxy());
  await comesBack(store);
  return store;
};

describe("a message store whose Cassandra is away", () => {
  it("[R2] opens without it, and serves when it is there", async () => {
    proxy.cut();
    const store = await open(throughProxy());
    await expect(store.getChannel("g-1")).rejects.toThrow(StoreUnavailable);
    const told = () => kept.logged.find(({ event }) => event === "cassandra_not_connected");
    await vi.waitFor(() => expect(told()).toBeDefined(), { timeout: 15_000 });
    expect(told()!.reasons).toEqual([expect.stringContaining(proxy.address)]);
    proxy.restore();
    await comesBack(store);
  });

  it("[O4] is not opened in a data centre that the cluster does not have", async () => {
    const moon = { ...throughProxy(), localDataCenter: "moon" };
    const message = "'moon', but only found hosts in data centers: [datacenter1]";
    await expect(open(moon)).rejects.toThrow(message);
    await expect(open(moon)).rejects.toThrow(ConfigError);
  });

  it("[R3] says so at every call, and heals by itself", async () => {
    const store = await openConnected();
    const batch = { messages: [], channels: [channel(7)], memberships: [] };
    await store.apply(batch);
    proxy.cut();
    for (let i = 0; i < 20; i++) {
      await expect(store.getChannel("g-1")).rejects.toThrow(StoreUnavailable);
      await expect(store.apply(batch)).rejects.toThrow(StoreUnavailable);
    }
    proxy.restore();
    await comesBack(store);
    expect(await store.getChannel("g-1")).toEqual(channel(7));
  });

  it("[R1] gives up on a server that says nothing, and heals by itself", async () => {
    const store = await openConnected();
    proxy.hang();
    await expect(store.getChannel("g-1")).rejects.toThrow(StoreUnavailable);
    proxy.restore();
    await comesBack(store);
  });

  it("[R1] does not ask for a while what keeps failing", async () => {
    const store = await openConnected();
    proxy.cut();
    await vi.waitFor(async () => {
      const error = await store.getChannel("g-1").catch((thrown) => thrown);
      expect(String(error.cause.message)).toContain("is not asked");
    });
    expect(kept.logged.map(({ event }) => event)).toContain("cassandra_away");
  });
});

describe("a message store's tables", () => {
  it("are made by several processes at once", async () => {
    const stores = await Promise.all([1, 2, 3, 4].map(() => open(fresh.options)));
    for (const [i, store] of stores.entries()) {
      await store.apply({ messages: [], channels: [channel(i + 1)], memberships: [] });
    }
    for (const store of stores) expect(await store.getChannel("g-1")).toEqual(channel(4));
  });

  it("that another version has made are told of, and refused where they contradict", async () => {
    await open();
    const insert = "INSERT INTO $.schema_steps (part, name, checksum) VALUES (?, ?, ?)";
    await kept.run(insert, ["message", "9999_from_the_future", "any"]);
    await open();
    expect(kept.logged).toContainEqual(
      expect.objectContaining({ event: "cassandra_schema_newer", newer: ["9999_from_the_future"] }),
    );
    await kept.run(insert, ["message", "0001_messages", "another"]);
    await expect(open()).rejects.toThrow("message/0001_messages was applied with another text");
  });
});
