/** Whether a PostgreSQL is fit for us, asked once at the start of a process. */
import { ConfigError } from "./config.ts";
import type { Logger } from "./logger.ts";
import type { SqlQueries } from "./sql.ts";

/** PostgreSQL 15 in the form of `server_version_num`. */
const versionMin = 150_000;

/** The settings that matter here. */
export interface PostgresSettings {
  versionNumber: number;
  version: string;
  encoding: string;
  isReadOnly: boolean;
  fsync: string;
  synchronousCommit: string;
}

/**
 * Reads the settings and logs what an acknowledgement means: `postgres_ready`, or the warning
 * `postgres_not_durable` where the server may forget what it has acknowledged.
 *
 * @param place the database's name for people.
 * @throws ConfigError that names everything that is not as it must be.
 */
export async function checkPostgres(sql: SqlQueries, place: string, log: Logger): Promise<void> {
  const [settings] = await sql.query<PostgresSettings>(`
    SELECT current_setting('server_version_num')::int AS "versionNumber",
      current_setting('server_version') AS version,
      current_setting('server_encoding') AS encoding,
      current_setting('transaction_read_only') = 'on' AS "isReadOnly",
      current_setting('fsync') AS fsync,
      current_setting('synchronous_commit') AS "synchronousCommit"`);
  const problems = unfit(settings!);
  if (problems.length > 0) {
    throw new ConfigError(problems.map((problem) => `PostgreSQL ${place}: ${problem}`).join("\n"));
  }
  const { version, fsync, synchronousCommit } = settings!;
  const fields = { place, version, fsync, synchronous_commit: synchronousCommit };
  if (fsync === "on" && synchronousCommit !== "off") {
    log.info({ event: "postgres_ready", ...fields });
  } else {
    log.warn({ event: "postgres_not_durable", ...fields });
  }
}

/** What keeps a database from being used, one sentence each. */
export function unfit(settings: PostgresSettings): string[] {
  const { versionNumber, version, encoding, isReadOnly } = settings;
  const problems: string[] = [];
  if (versionNumber < versionMin) {
    problems.push(`the version is ${version}, 15 or later is needed`);
  }
  if (encoding !== "UTF8") {
    problems.push(
      `the encoding is ${encoding}, UTF8 is needed: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`,
    );
  }
  if (isReadOnly) {
    problems.push("it only reads (a standby, or default_transaction_read_only), writes are needed");
  }
  return problems;
}
