import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Sql, SqlUnavailable, UniqueViolation } from "./sql.ts";

/** Checks an adapter. `open` answers an empty database; it is called twice. */
export function sqlContract(name: string, open: () => Promise<Sql>): void {
  describe(`Sql: ${name}`, () => {
    let sql: Sql;

    beforeAll(async () => {
      sql = await open();
    });
    afterAll(() => sql.close());
    beforeEach(async () => {
      await sql.query(`
        DROP TABLE IF EXISTS things;
        CREATE TABLE things (id text PRIMARY KEY, count integer NOT NULL DEFAULT 0);
        CREATE UNIQUE INDEX things_folded_key ON things (lower(id))
      `);
    });

    const ids = async () => {
      const rows = await sql.query<{ id: string }>("SELECT id FROM things ORDER BY id");
      return rows.map((row) => row.id);
    };

    it("[O4] values come back as they were given", async () => {
      const given = ["Grüße 👋", -7, true, new Date(1_767_225_600_123), null] as const;
      const [row] = await sql.query(
        `SELECT $1::text AS text, $2::integer AS integer, $3::boolean AS boolean,
          $4::timestamptz AS time, $5::text AS nothing`,
        given,
      );
      const [text, integer, boolean, time, nothing] = given;
      expect(row).toEqual({ text, integer, boolean, time, nothing });
    });

    it("[O4] bytes come back as they were given", async () => {
      const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
      const [row] = await sql.query<{ bytes: Uint8Array }>("SELECT $1::bytea AS bytes", [bytes]);
      expect(Buffer.from(row!.bytes).equals(bytes)).toBe(true);
    });

    it("[O4] a list as a parameter serves ANY", async () => {
      await sql.query("INSERT INTO things (id) VALUES ('a'), ('b'), ('c,\"d')");
      const found = await sql.query("SELECT id FROM things WHERE id = ANY($1) ORDER BY id", [
        ["a", 'c,"d', "z"],
      ]);
      expect(found).toEqual([{ id: "a" }, { id: 'c,"d' }]);
    });

    it("[O4] several statements without parameters answer the last one's rows", async () => {
      expect(await sql.query("SELECT 1 AS one; SELECT 2 AS two")).toEqual([{ two: 2 }]);
      expect(await sql.query("INSERT INTO things (id) VALUES ('a')")).toEqual([]);
    });

    it("[O4] several statements of which one fails leave nothing behind", async () => {
      const two = "INSERT INTO things (id) VALUES ('a'); INSERT INTO things (id) VALUES ('a')";
      await expect(sql.query(two)).rejects.toThrow(UniqueViolation);
      expect(await ids()).toEqual([]);
    });

    it("[A1] a second row of a key is refused with the name of its constraint", async () => {
      const insert = (id: string) => sql.query("INSERT INTO things (id) VALUES ($1)", [id]);
      await insert("a");
      await expect(insert("a")).rejects.toMatchObject({ constraint: "things_pkey" });
      await expect(insert("A")).rejects.toMatchObject({ constraint: "things_folded_key" });
      await expect(insert("A")).rejects.toThrow(UniqueViolation);
    });

    it("[O4] a statement that can't be right is no outage, and the next one works", async () => {
      const wrong = sql.query("SELECT nothing FROM nowhere");
      await expect(wrong).rejects.toThrow(/nowhere/);
      await expect(wrong).rejects.not.toThrow(SqlUnavailable);
      await expect(sql.query("SELECT $1::integer", ["x"])).rejects.toThrow();
      expect(await sql.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
    });

    it("[O4] a transaction is kept whole and answers what its work answered", async () => {
      const answer = await sql.transaction(async (transaction) => {
        await transaction.query("INSERT INTO things (id) VALUES ($1)", ["a"]);
        await transaction.query("INSERT INTO things (id) VALUES ($1)", ["b"]);
        return 7;
      });
      expect(answer).toBe(7);
      expect(await ids()).toEqual(["a", "b"]);
    });

    it("[O4] a transaction whose work fails leaves nothing behind", async () => {
      const failing = sql.transaction(async (transaction) => {
        await transaction.query("INSERT INTO things (id) VALUES ('a')");
        throw new Error("changed my mind");
      });
      await expect(failing).rejects.toThrow("changed my mind");
      expect(await ids()).toEqual([]);
    });

    it("[O4] a transaction with a failed statement fails, though its work caught it", async () => {
      const careless = sql.transaction(async (transaction) => {
        await transaction.query("INSERT INTO things (id) VALUES ('a')");
        await transaction.query("INSERT INTO things (id) VALUES ('a')").catch(() => undefined);
      });
      await expect(careless).rejects.toThrow(UniqueViolation);
      expect(await ids()).toEqual([]);
    });

    it("[O4] a transaction's statements run one after the other, whoever waits for them", async () => {
      await sql.transaction(async (transaction) => {
        const one = transaction.query("SELECT 1 AS one");
        const none = transaction.query("INSERT INTO things (id) VALUES ('a')");
        const two = transaction.query("SELECT 2 AS two");
        expect(await Promise.all([one, none, two])).toEqual([[{ one: 1 }], [], [{ two: 2 }]]);
      });
      expect(await ids()).toEqual(["a"]);
    });

    it("[O4] what a transaction's work has left under way is part of it, what comes later is refused", async () => {
      let late = () => Promise.resolve<object[]>([]);
      await sql.transaction(async (transaction) => {
        void transaction.query("SELECT pg_sleep(0.05)");
        void transaction.query("INSERT INTO things (id) VALUES ('a')");
        late = () => transaction.query("INSERT INTO things (id) VALUES ('b')");
      });
      await expect(late()).rejects.toThrow("the transaction has ended");
      expect(await ids()).toEqual(["a"]);
    });

    it("[O4] transactions that lock what they read lose no update", async () => {
      await sql.query("INSERT INTO things (id) VALUES ('a')");
      const increment = () =>
        sql.transaction(async (transaction) => {
          const [row] = await transaction.query<{ count: number }>(
            "SELECT count FROM things WHERE id = 'a' FOR UPDATE",
          );
          await transaction.query("UPDATE things SET count = $1 WHERE id = 'a'", [row!.count + 1]);
        });
      await Promise.all(Array.from({ length: 10 }, increment));
      expect(await sql.query("SELECT count FROM things")).toEqual([{ count: 10 }]);
    });

    it("[O4] closing lets what is under way end and refuses what follows", async () => {
      const other = await open();
      const under = Array.from({ length: 5 }, () => other.query("SELECT 1 AS one"));
      await other.close();
      expect(await Promise.all(under)).toHaveLength(5);
      await expect(other.query("SELECT 1")).rejects.toThrow(SqlUnavailable);
      await expect(other.transaction(async () => 1)).rejects.toThrow(SqlUnavailable);
      await other.close();
    });
  });
}
