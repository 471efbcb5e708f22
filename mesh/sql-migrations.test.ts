import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Sql } from "./sql.ts";
import { type Migration, MigrationMismatch, migrate } from "./sql-migrations.ts";
import { openPglite } from "./sql-pglite.ts";

const first: Migration = { name: "0001_things", text: "CREATE TABLE things (id text)" };
const second: Migration = {
  name: "0002_counts",
  text: "ALTER TABLE things ADD count integer; INSERT INTO things VALUES ('a', 1)",
};
const broken: Migration = { name: "0003_broken", text: "CREATE TABLE other (id nothing)" };

describe("migrate", () => {
  let sql: Sql;

  beforeAll(async () => {
    sql = await openPglite();
  });
  afterAll(() => sql.close());
  beforeEach(() => sql.query("DROP TABLE IF EXISTS things; DROP TABLE IF EXISTS migrations"));

  it("[O4] steps run in order, once, and only the new ones run later", async () => {
    expect(await migrate(sql, "part", [first])).toEqual(["0001_things"]);
    expect(await migrate(sql, "part", [first, second])).toEqual(["0002_counts"]);
    expect(await migrate(sql, "part", [first, second])).toEqual([]);
    expect(await sql.query("SELECT * FROM things")).toEqual([{ id: "a", count: 1 }]);
  });

  it("[O4] of several that start at once one runs the steps", async () => {
    const runs = await Promise.all([1, 2, 3].map(() => migrate(sql, "part", [first, second])));
    expect(runs.flat()).toEqual(["0001_things", "0002_counts"]);
  });

  it("[O4] a step that fails leaves the tables as they were", async () => {
    await expect(migrate(sql, "part", [first, second, broken])).rejects.toThrow(/nothing/);
    expect(await migrate(sql, "part", [first])).toEqual(["0001_things"]);
  });

  it("[O4] an applied step whose text has changed is refused", async () => {
    await migrate(sql, "part", [first]);
    const changed = { ...first, text: `${first.text} ` };
    await expect(migrate(sql, "part", [changed])).rejects.toThrow(MigrationMismatch);
  });

  it("[O4] a step that turns up before an applied one is refused", async () => {
    await migrate(
      sql,
      "part",
      [second].map(({ name }) => ({ name, text: first.text })),
    );
    await expect(
      migrate(sql, "part", [
        { name: "0001_late", text: "SELECT 1" },
        { ...first, name: second.name },
      ]),
    ).rejects.toThrow("part/0002_counts was applied without 0001_late before it");
  });

  it("[O4] the steps of a newer instance don't hinder an older one", async () => {
    await migrate(sql, "part", [first, second]);
    expect(await migrate(sql, "part", [first])).toEqual([]);
  });

  it("[O4] parts have steps of their own", async () => {
    await migrate(sql, "part", [first]);
    expect(await migrate(sql, "other", [{ ...first, text: "SELECT 1" }])).toEqual(["0001_things"]);
  });
});
