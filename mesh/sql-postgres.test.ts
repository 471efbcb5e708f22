import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { systemClock } from "./clock.ts";
import { ManualClock } from "./clock-manual.ts";
import { ConfigError } from "./config.ts";
import { type LogFields, silentLogger } from "./logger.ts";
import { sqlContract } from "./sql.contract.ts";
import { type Sql, type SqlQueries, SqlUnavailable, UniqueViolation } from "./sql.ts";
import { migrate } from "./sql-migrations.ts";
import { openPostgres, type PostgresOptions } from "./sql-postgres.ts";
import { sqlWaitingMax } from "./sql-postgres-line.ts";
import { unfit } from "./sql-postgres-settings.ts";
import { makeTestDatabase, type TestDatabase } from "./sql-postgres-under-test.ts";
import { TcpProxy } from "./tcp-proxy.ts";

const { postgresUrl } = inject("servers");
const clock = systemClock;
const log = silentLogger;

const databases: TestDatabase[] = [];
async function newDatabase(settings?: string): Promise<TestDatabase> {
  const database = await makeTestDatabase(postgresUrl, settings);
  databases.push(database);
  return database;
}
afterAll(async () => {
  for (const database of databases) await database.drop();
});

sqlContract("PostgreSQL", async () => openPostgres({ url: (await newDatabase()).url, clock, log }));

describe("openPostgres", () => {
  let database: TestDatabase;
  const opened: Sql[] = [];

  beforeAll(async () => {
    database = await newDatabase();
  });
  afterAll(async () => {
    for (const sql of opened) await sql.close();
  });

  const open = async (options: Partial<PostgresOptions> = {}) => {
    const sql = await openPostgres({ url: database.url, clock, log, ...options });
    opened.push(sql);
    return sql;
  };
  const pidOf = async (sql: SqlQueries) =>
    (await sql.query<{ pid: number }>("SELECT pg_backend_pid() AS pid"))[0]!.pid;
  /** Holds a connection until told to let go. */
  const hold = (sql: Sql) => {
    const letGo = Promise.withResolvers<void>();
    const holding = Promise.withResolvers<void>();
    const held = sql.transaction(async (transaction) => {
      await transaction.query("SELECT 1");
      holding.resolve();
      await letGo.promise;
    });
    return { holding: holding.promise, letGo: letGo.resolve, held };
  };
  const unavailable = expect.objectContaining({ reason: "UNAVAILABLE" });

  describe("checks what it is given", () => {
    it("[O4] a URL that is none is named a setting's error, without its password", async () => {
      const wrong = open({ url: "mysql://root:s3cret@nowhere" });
      await expect(wrong).rejects.toThrow(ConfigError);
      await expect(wrong).rejects.not.toThrow(/s3cret/);
    });

    it("[O4] a database that is not in UTF8 is refused", async () => {
      const latin = await newDatabase("ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
      await expect(open({ url: latin.url })).rejects.toThrow("the encoding is LATIN1, UTF8 is");
    });

    it("[O4] a database that only reads is refused", async () => {
      const { url, administer } = await newDatabase();
      await administer(
        `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET default_transaction_read_only = on`,
      );
      await expect(open({ url })).rejects.toThrow("it only reads");
    });

    it("[O4] every problem is named at once, the version among them", () => {
      const settings = { versionNumber: 140_011, version: "14.11", encoding: "SQL_ASCII" };
      const durable = { fsync: "on", synchronousCommit: "on" };
      const problems = unfit({ ...settings, ...durable, isReadOnly: false });
      expect(problems[0]).toBe("the version is 14.11, 15 or later is needed");
      expect(problems[1]).toMatch("the encoding is SQL_ASCII");
      const fit = { versionNumber: 150_000, version: "15.0", encoding: "UTF8", ...durable };
      expect(unfit({ ...fit, isReadOnly: false })).toEqual([]);
    });

    it("[O4] what an acknowledgement means is logged", async () => {
      const lines: LogFields[] = [];
      const add = (fields: LogFields) => void lines.push(fields);
      const url = `${database.url}?options=-c%20synchronous_commit%3Doff`;
      await open({ url, log: { debug: add, info: add, warn: add, error: add } });
      expect(lines).toMatchObject([{ event: "postgres_not_durable", synchronous_commit: "off" }]);
    });

    it("[R1] a server that can't be reached is UNAVAILABLE, and the error says which and why", async () => {
      const unreachable = open({ url: "postgres://postgres:s3cret@127.0.0.1:1/parley" });
      await expect(unreachable).rejects.toThrow(SqlUnavailable);
      await expect(unreachable).rejects.toThrow(
        /^PostgreSQL 127\.0\.0\.1:1\/parley .*ECONNREFUSED/,
      );
      const unknown = open({ url: `${database.url}_not` });
      await expect(unknown).rejects.toThrow(/database "\w+_not" does not exist/);
    });
  });

  describe("values and statements", () => {
    it("[O4] bytes are a Uint8Array and no Buffer", async () => {
      const sql = await open();
      const [row] = await sql.query<{ bytes: Uint8Array }>("SELECT '\\x0001'::bytea AS bytes");
      expect(row!.bytes.constructor).toBe(Uint8Array);
    });

    it("[O4] the database's own defaults change nothing", async () => {
      const other = await newDatabase();
      const name = new URL(other.url).pathname.slice(1);
      await other.administer(`
        ALTER DATABASE ${name} SET default_transaction_isolation = 'serializable';
        ALTER DATABASE ${name} SET DateStyle = 'German';
        ALTER DATABASE ${name} SET TimeZone = 'Asia/Kathmandu';
        ALTER DATABASE ${name} SET bytea_output = 'escape'`);
      const sql = await open({ url: other.url });
      const time = new Date(1_767_225_600_123);
      const bytes = Uint8Array.of(0, 92, 255);
      const [row] = await sql.query(
        `SELECT $1::timestamptz AS time, $2::bytea AS bytes,
          current_setting('transaction_isolation') AS isolation`,
        [time, bytes],
      );
      expect(row).toEqual({ time, bytes, isolation: "read committed" });
    });

    it("[O4] a failed statement costs no connection", async () => {
      const sql = await open({ poolMax: 1 });
      await sql.query("CREATE TABLE once (id text PRIMARY KEY)");
      const insert = (queries: SqlQueries) => queries.query("INSERT INTO once VALUES ($1)", ["a"]);
      const before = await pidOf(sql);
      await insert(sql);
      await expect(insert(sql)).rejects.toThrow(UniqueViolation);
      await expect(sql.transaction(insert)).rejects.toThrow(UniqueViolation);
      expect(await pidOf(sql)).toBe(before);
    });

    it("[O4] a statement that was prepared outlives a change of its table", async () => {
      const sql = await open({ poolMax: 1 });
      await sql.query("CREATE TABLE changing (id integer)");
      const read = () => sql.query("SELECT * FROM changing WHERE id > $1", [0]);
      await read();
      await database.administer("ALTER TABLE changing ADD more text");
      await expect(read()).rejects.toThrow(SqlUnavailable);
      expect(await read()).toEqual([]);
    });

    it("[O4] a transaction that a plain statement left open is nobody else's", async () => {
      const sql = await open({ poolMax: 1 });
      await sql.query("CREATE TABLE left_open (id integer)");
      await sql.query("BEGIN; INSERT INTO left_open VALUES (1)");
      expect(await sql.query("SELECT * FROM left_open")).toEqual([]);
    });
  });

  describe("when the database is away", () => {
    it("[R3] connections that the server has ended are replaced", async () => {
      const sql = await open({ poolMax: 2 });
      const pid = await pidOf(sql);
      const underWay = sql.query("SELECT pg_sleep(60)");
      await vi.waitFor(async () => {
        const killed =
          "SELECT count(pg_terminate_backend(pid))::int AS count FROM pg_stat_activity";
        const other = await open();
        const [row] = await other.query<{ count: number }>(
          `${killed} WHERE datname = current_database() AND query = 'SELECT pg_sleep(60)'`,
        );
        expect(row!.count).toBe(1);
      });
      await expect(underWay).rejects.toThrow(SqlUnavailable);
      await database.administer(`SELECT pg_terminate_backend(${pid})`);
      await vi.waitFor(async () => expect(await pidOf(sql)).not.toBe(pid));
    });

    it("[R1] [R3] a cut way is answered UNAVAILABLE at once, and heals by itself", async () => {
      const proxy = await TcpProxy.start(new URL(database.url).host);
      const url = Object.assign(new URL(database.url), { host: proxy.address }).href;
      const sql = await open({ url, poolMax: 2 });
      const underWay = sql.transaction((transaction) => transaction.query("SELECT pg_sleep(60)"));
      const answers = Promise.allSettled([underWay, sql.query("SELECT pg_sleep(60)")]);
      proxy.cut();
      for (const answer of await answers) expect(answer).toMatchObject({ reason: unavailable });
      for (let i = 0; i < 10; i++) {
        await expect(sql.query("SELECT 1")).rejects.toThrow(SqlUnavailable);
      }
      proxy.restore();
      await vi.waitFor(() => sql.query("SELECT 1"), { timeout: 10_000 });
      await proxy.stop();
    });

    it("[R1] a server that hangs is given up, and its connection with it", async () => {
      const proxy = await TcpProxy.start(new URL(database.url).host);
      const url = Object.assign(new URL(database.url), { host: proxy.address }).href;
      const sql = await open({ url, poolMax: 1, statementTimeoutMs: 50, connectTimeoutMs: 500 });
      proxy.hang();
      const work = sql.transaction((transaction) => transaction.query("SELECT 1"));
      await expect(work).rejects.toThrow(SqlUnavailable);
      await expect(sql.query("SELECT 1")).rejects.toThrow(SqlUnavailable);
      proxy.restore();
      expect(await sql.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
      await proxy.stop();
    });

    it("[R1] a statement that takes too long is cancelled and costs no connection", async () => {
      const sql = await open({ poolMax: 1, statementTimeoutMs: 500 });
      const pid = await pidOf(sql);
      await expect(sql.query("SELECT pg_sleep(60)")).rejects.toThrow(SqlUnavailable);
      expect(await pidOf(sql)).toBe(pid);
    });

    it("[R1] a transaction that stops in the middle does not keep its locks", async () => {
      const sql = await open({ poolMax: 2, statementTimeoutMs: 500 });
      await sql.query("CREATE TABLE locked (id integer); INSERT INTO locked VALUES (1)");
      const lock = "SELECT id FROM locked FOR UPDATE";
      const gone = Promise.withResolvers<void>();
      const stopped = sql.transaction(async (transaction) => {
        await transaction.query(lock);
        await gone.promise;
        await transaction.query(lock);
      });
      const other = await open();
      await other.query(lock);
      gone.resolve();
      await expect(stopped).rejects.toThrow(SqlUnavailable);
    });
  });

  describe("when there is too much to do", () => {
    it("[R1] statements past the line's length are refused at once with a retry hint", async () => {
      const sql = await open({ poolMax: 1, waitMsMax: 60_000 });
      const { holding, letGo, held } = hold(sql);
      await holding;
      const queries = Array.from({ length: sqlWaitingMax + 1 }, () => sql.query("SELECT 1"));
      await expect(queries.at(-1)).rejects.toMatchObject({
        reason: "OVERLOADED",
        details: { retryAfterMs: expect.any(Number) },
      });
      letGo();
      await held;
      const answers = await Promise.allSettled(queries);
      expect(answers.filter(({ status }) => status === "rejected")).toHaveLength(1);
    });

    it("[R1] who waits too long is answered OVERLOADED, and the line goes on", async () => {
      const manual = new ManualClock();
      const sql = await open({ poolMax: 1, waitMsMax: 1_000, clock: manual });
      const { holding, letGo, held } = hold(sql);
      await holding;
      const late = sql.query("SELECT 1");
      manual.advance(900);
      const inTime = sql.query("SELECT 1 AS one");
      manual.advance(100);
      await expect(late).rejects.toMatchObject({ reason: "OVERLOADED" });
      letGo();
      await held;
      expect(await inTime).toEqual([{ one: 1 }]);
      expect(manual.nextDueMs()).toBeUndefined();
    });

    it("[O4] closing lets those who wait have their turn", async () => {
      const sql = await open({ poolMax: 1 });
      const waiting = Array.from({ length: 20 }, () => sql.query("SELECT 1"));
      await sql.close();
      expect(await Promise.all(waiting)).toHaveLength(20);
    });
  });

  it("[O4] of several processes that migrate at once one runs the steps", async () => {
    const { url } = await newDatabase();
    const steps = [
      { name: "0001_things", text: "CREATE TABLE things (id text); SELECT pg_sleep(0.1)" },
      { name: "0002_counts", text: "ALTER TABLE things ADD count integer" },
    ];
    const processes = await Promise.all(Array.from({ length: 6 }, () => open({ url, poolMax: 1 })));
    const runs = await Promise.all(processes.map((sql) => migrate(sql, "part", steps)));
    expect(runs.flat()).toEqual(["0001_things", "0002_counts"]);
  });
});
