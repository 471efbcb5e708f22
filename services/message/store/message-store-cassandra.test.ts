import { afterAll, inject } from "vitest";
import { newKeyspace } from "../../../mesh/cassandra-under-test.ts";
import { messageStoreContract } from "./message-store.contract.ts";
import { openCassandraMessageStore } from "./message-store-cassandra.ts";

const keyspace = await newKeyspace(inject("servers").cassandraAddress);
afterAll(() => keyspace.drop());

messageStoreContract("Cassandra", async () => ({
  open: () => openCassandraMessageStore(keyspace.options),
  dispose: () => keyspace.clear(),
}));
