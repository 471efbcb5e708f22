import { afterAll, beforeEach, inject } from "vitest";
import { newKeyspace } from "../../mesh/cassandra-under-test.ts";
import { presenceStoreContract } from "./presence-store.contract.ts";
import { openCassandraPresenceStore } from "./presence-store-cassandra.ts";

const keyspace = await newKeyspace(inject("servers").cassandraAddress);
beforeEach(() => keyspace.clear());
afterAll(() => keyspace.drop());

presenceStoreContract("Cassandra", () => openCassandraPresenceStore(keyspace.options));
