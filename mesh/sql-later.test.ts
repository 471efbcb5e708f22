import { describe, expect, it } from "vitest";
import { ConfigError } from "./config.ts";
import { silentLogger } from "./logger.ts";
import { type Sql, SqlUnavailable } from "./sql.ts";
import { openSqlLater } from "./sql-later.ts";

describe("openSqlLater", () => {
  it("[R2] serves once the database is there, and refuses until then", async () => {
    const opened: Sql[] = [];
    let isAway = true;
    let closed = 0;
    const sql = await openSqlLater(async () => {
      if (isAway) throw new SqlUnavailable("away");
      const rows = [{ one: 1 }];
      const database: Sql = {
        query: async () => rows as never,
        transaction: (work) => work(database),
        close: async () => void closed++,
      };
      opened.push(database);
      return database;
    }, silentLogger);
    await expect(sql.query("SELECT 1 AS one")).rejects.toThrow(SqlUnavailable);
    isAway = false;
    const both = await Promise.all([
      sql.query("SELECT 1 AS one"),
      sql.transaction((transaction) => transaction.query("SELECT 1 AS one")),
    ]);
    expect(both).toEqual([[{ one: 1 }], [{ one: 1 }]]);
    expect(opened).toHaveLength(1);
    await sql.close();
    expect(closed).toBe(1);
    await expect(sql.query("SELECT 1 AS one")).rejects.toThrow(SqlUnavailable);
  });

  it("[R2] what can't be mended by waiting is said at once", async () => {
    const open = () => Promise.reject(new ConfigError("no such database"));
    await expect(openSqlLater(open, silentLogger)).rejects.toThrow(ConfigError);
  });
});
