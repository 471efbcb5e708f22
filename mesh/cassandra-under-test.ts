/** What tests of stores on Cassandra share: a keyspace of their own. */
import { randomBytes } from "node:crypto";
import cassandra from "cassandra-driver";
import type { CassandraOptions } from "./cassandra.ts";
import { systemClock } from "./clock.ts";
import type { LogFields } from "./logger.ts";

/** A keyspace that nobody else uses. */
export interface KeyspaceUnderTest {
  /** How a store is opened in it. */
  options: Omit<CassandraOptions, "schema">;
  /** What was logged of it. */
  logged: LogFields[];
  /** Runs a statement as it is, in the keyspace. */
  run(cql: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>;
  /** Empties its tables. */
  clear(): Promise<void>;
  /** Removes it. */
  drop(): Promise<void>;
}

/** Chooses a keyspace of the cluster at "host:port"; the first store that is opened makes it. */
export async function newKeyspace(address: string): Promise<KeyspaceUnderTest> {
  const keyspace = `test_${randomBytes(8).toString("hex")}`;
  const localDataCenter = "datacenter1";
  const encoding = { useBigIntAsLong: true };
  // Dropping a keyspace takes longer than anything that a store does.
  const socketOptions = { readTimeout: 60_000 };
  const contactPoints = [address];
  const client = new cassandra.Client({ contactPoints, localDataCenter, encoding, socketOptions });
  await client.connect();
  const run: KeyspaceUnderTest["run"] = async (cql, values = []) => {
    const options = { keyspace, prepare: values.length > 0 };
    const { rows } = await client.execute(cql.replace("$.", `${keyspace}.`), [...values], options);
    return rows ?? [];
  };
  const logged: LogFields[] = [];
  const log = (fields: LogFields) => void logged.push(fields);
  return {
    options: {
      ...{ contactPoints, localDataCenter, keyspace, replicas: { [localDataCenter]: 1 } },
      ...{ clock: systemClock, logger: { debug: log, info: log, warn: log, error: log } },
    },
    logged,
    run,
    async clear() {
      const cql = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
      const tables = (await run(cql, [keyspace])).map((row) => row.table_name);
      const data = tables.filter((name) => name !== "schema_steps");
      await Promise.all(data.map((name) => run(`TRUNCATE $.${name}`)));
    },
    async drop() {
      await run(`DROP KEYSPACE IF EXISTS ${keyspace}`);
      await client.shutdown();
    },
  };
}
