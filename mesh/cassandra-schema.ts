/**
 * The tables of a part in a keyspace, brought up to date in steps, forward only. Cassandra has no
 * transaction for this and a lock would need its slow kind of write, so that instead everything
 * may be done twice and at once: statements say IF NOT EXISTS, and a table's id derives from its
 * name, so that two instances that create it through two nodes create the same one (with random
 * ids the nodes would disagree about which table it is).
 */
import { createHash } from "node:crypto";

/** The tables of a part. */
export interface CassandraSchema {
  /** Whose tables they are: "message". */
  part: string;
  steps: readonly SchemaStep[];
}

/** One step. Its text never changes once it has been released. */
export interface SchemaStep {
  /** "0001_messages": steps run in the order of the list, and names ascend. */
  name: string;
  /**
   * CQL that may run again, and leaves the tables usable for the version before it. `:id` stands
   * for the id of the table that is created.
   */
  statements: readonly string[];
}

/** The keyspace and the code disagree about a step that was applied. */
export class SchemaMismatch extends Error {
  override readonly name = "SchemaMismatch";
}

/** What {@link bringUpToDate} found and did. */
export interface SchemaState {
  /** The steps that it ran. */
  run: string[];
  /** Steps of a newer version of the code. */
  newer: string[];
}

/** Runs one statement with text values. */
export type RunCql = (
  cql: string,
  values: readonly string[],
) => Promise<readonly Record<string, string>[]>;

/**
 * Runs the steps that the keyspace has not seen. Those that it has beyond the list are another,
 * newer instance's and are left alone.
 * @throws SchemaMismatch when an applied step's text has changed, or one is missing before it.
 */
export async function bringUpToDate(
  keyspace: string,
  { part, steps }: CassandraSchema,
  run: RunCql,
): Promise<SchemaState> {
  await run(withTableId(keyspace, schemaSteps), []);
  const rows = await run("SELECT name, checksum FROM schema_steps WHERE part = ?", [part]);
  const applied = new Map(rows.map((row) => [row.name!, row.checksum!]));
  const missing = steps.filter(({ name }) => !applied.has(name));
  for (const step of steps) {
    const known = applied.get(step.name);
    if (known === undefined) continue;
    if (known !== checksum(step)) {
      throw new SchemaMismatch(`${part}/${step.name} was applied with another text: ${known}`);
    }
    if (missing[0] && missing[0].name < step.name) {
      throw new SchemaMismatch(`${part}/${step.name} was applied without ${missing[0].name}`);
    }
  }
  for (const step of missing) {
    for (const statement of step.statements) await run(withTableId(keyspace, statement), []);
    const row = [part, step.name, checksum(step)];
    await run("INSERT INTO schema_steps (part, name, checksum) VALUES (?, ?, ?)", row);
  }
  const listed = new Set(steps.map(({ name }) => name));
  return {
    run: missing.map(({ name }) => name),
    newer: [...applied.keys()].filter((name) => !listed.has(name)),
  };
}

const schemaSteps = `
  CREATE TABLE IF NOT EXISTS schema_steps (
    part text, name text, checksum text, PRIMARY KEY (part, name)
  ) WITH id = ':id'`;

function checksum({ statements }: SchemaStep): string {
  return createHash("sha256").update(statements.join(";")).digest("hex");
}

function withTableId(keyspace: string, statement: string): string {
  const table = /CREATE TABLE IF NOT EXISTS (\w+)/.exec(statement)?.[1];
  const hash = createHash("sha256").update(`${keyspace}.${table}`).digest("hex");
  // RFC 9562 section 5.8: version 8 is for hashes of one's own.
  const parts = [hash.slice(0, 8), hash.slice(8, 12), `8${hash.slice(13, 16)}`];
  return statement.replace(
    ":id",
    [...parts, `8${hash.slice(17, 20)}`, hash.slice(20, 32)].join("-"),
  );
}
