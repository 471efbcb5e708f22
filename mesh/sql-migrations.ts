import { createHash } from "node:crypto";
import type { Sql } from "./sql.ts";

/** One step of a schema. Its text never changes once it has been released. */
export interface Migration {
  /** "0001_accounts": steps run in the order of the list, and names ascend. */
  name: string;
  /** Statements, all in the one transaction of the run. */
  text: string;
}

/** The database and the code disagree about a step that was applied. */
export class MigrationMismatch extends Error {
  override readonly name = "MigrationMismatch";
}

/** Any number, as long as it is everybody's: the key of the advisory lock. */
const lockKey = 7_275_539;

/**
 * Brings a part's tables up to date: runs, in one transaction, the steps that the database has not
 * seen. Forward only. Instances that start at once wait for each other. Steps that the database
 * has beyond the list are another, newer instance's and are left alone, so a step must leave the
 * tables usable for the version before it.
 *
 * @param part whose tables they are: "session".
 * @returns the names of the steps that were run.
 * @throws MigrationMismatch when an applied step's text has changed, or one is missing before it.
 */
export function migrate(
  sql: Sql,
  part: string,
  migrations: readonly Migration[],
): Promise<string[]> {
  return sql.transaction(async (transaction) => {
    await transaction.query(`SELECT pg_advisory_xact_lock(${lockKey})`);
    await transaction.query(`
      CREATE TABLE IF NOT EXISTS migrations (
        part text NOT NULL,
        name text NOT NULL,
        checksum text NOT NULL,
        apply_time timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (part, name)
      )
    `);
    const rows = await transaction.query<{ name: string; checksum: string }>(
      "SELECT name, checksum FROM migrations WHERE part = $1",
      [part],
    );
    const applied = new Map(rows.map((row) => [row.name, row.checksum]));
    const run: string[] = [];
    for (const { name, text } of migrations) {
      const checksum = createHash("sha256").update(text).digest("hex");
      const known = applied.get(name);
      if (known === undefined) {
        await transaction.query(text);
        await transaction.query(
          "INSERT INTO migrations (part, name, checksum) VALUES ($1, $2, $3)",
          [part, name, checksum],
        );
        run.push(name);
      } else if (known !== checksum) {
        throw new MigrationMismatch(`${part}/${name} was applied with another text: ${known}`);
      } else if (run.length > 0) {
        throw new MigrationMismatch(`${part}/${name} was applied without ${run[0]} before it`);
      }
    }
    return run;
  });
}
