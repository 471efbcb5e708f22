import { describe, expect, it } from "vitest";
import { bringUpToDate, type CassandraSchema, type RunCql } from "./cassandra-schema.ts";

/** Runs nothing but what concerns the steps. */
class Keyspace {
  readonly ran: string[] = [];
  readonly steps = new Map<string, string>();
  failsAt = "";

  readonly run: RunCql = async (cql, values) => {
    if (cql.startsWith("SELECT")) {
      return [...this.steps].map(([name, checksum]) => ({ name, checksum }));
    }
    if (cql.startsWith("INSERT")) this.steps.set(values[1]!, values[2]!);
    else if (cql === this.failsAt) throw new Error("away");
    else if (!cql.includes("schema_steps")) this.ran.push(cql);
    return [];
  };

  open(...steps: [name: string, ...statements: string[]][]) {
    const schema: CassandraSchema = {
      part: "part",
      steps: steps.map(([name, ...statements]) => ({ name, statements })),
    };
    return bringUpToDate("keyspace", schema, this.run);
  }
}

describe("a schema in Cassandra", () => {
  it("is made once, and later steps are added", async () => {
    const keyspace = new Keyspace();
    expect(await keyspace.open(["0001", "A", "B"])).toEqual({ run: ["0001"], newer: [] });
    expect(await keyspace.open(["0001", "A", "B"], ["0002", "C"])).toMatchObject({ run: ["0002"] });
    expect(keyspace.ran).toEqual(["A", "B", "C"]);
  });

  it("is made again from the beginning of a step that failed", async () => {
    const keyspace = new Keyspace();
    keyspace.failsAt = "B";
    await expect(keyspace.open(["0001", "A", "B"])).rejects.toThrow("away");
    keyspace.failsAt = "";
    await keyspace.open(["0001", "A", "B"]);
    expect(keyspace.ran).toEqual(["A", "A", "B"]);
  });

  it("that is newer is left alone and told of", async () => {
    const keyspace = new Keyspace();
    await keyspace.open(["0001", "A"], ["0002", "B"]);
    expect(await keyspace.open(["0001", "A"])).toEqual({ run: [], newer: ["0002"] });
  });

  it("whose steps have changed is refused", async () => {
    const keyspace = new Keyspace();
    await keyspace.open(["0002", "B"]);
    await expect(keyspace.open(["0002", "C"])).rejects.toThrow(
      "part/0002 was applied with another",
    );
    await expect(keyspace.open(["0001", "A"], ["0002", "B"])).rejects.toThrow(
      "part/0002 was applied without 0001",
    );
    expect(keyspace.ran).toEqual(["B"]);
  });

  it("gives a table the same id whoever creates it", async () => {
    const create = (table: string) => `CREATE TABLE IF NOT EXISTS ${table} () WITH id = ':id'`;
    const ids = await Promise.all(
      ["a", "a", "b"].map(async (table) => {
        const keyspace = new Keyspace();
        await keyspace.open(["0001", create(table)]);
        return /'(.*)'/.exec(keyspace.ran[0]!)![1];
      }),
    );
    expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(ids[1]).toBe(ids[0]);
    expect(ids[2]).not.toBe(ids[0]);
  });
});
