/** Databases for tests, each with a name of its own, on the PostgreSQL of the test run. */
import { randomBytes } from "node:crypto";
import pg from "pg";

/** A database that goes with the test file. */
export interface TestDatabase {
  url: string;
  /** Runs a statement in it as the server's own administrator, on a connection of its own. */
  administer(text: string): Promise<void>;
  drop(): Promise<void>;
}

/**
 * Makes an empty database.
 * @param serverUrl any database of the server, as a user that may make others.
 * @param settings what follows `CREATE DATABASE name`.
 */
export async function makeTestDatabase(serverUrl: string, settings = ""): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  await run(serverUrl, `CREATE DATABASE ${name} ${settings}`);
  const url = Object.assign(new URL(serverUrl), { pathname: name }).href;
  return {
    url,
    administer: (text) => run(url, text),
    drop: () => run(serverUrl, `DROP DATABASE ${name} WITH (FORCE)`),
  };
}

async function run(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
