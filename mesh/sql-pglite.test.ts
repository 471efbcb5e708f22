import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { sqlContract } from "./sql.contract.ts";
import { openPglite, sqlQueueMax } from "./sql-pglite.ts";

sqlContract("PGlite in memory", () => openPglite());

/** Opens the folder, counts rows up, says each that is stored, until it is killed. */
const writer = `
  import(${JSON.stringify(new URL("./sql-pglite.ts", import.meta.url))}).then(async (module) => {
    const sql = await module.openPglite(process.argv[1]);
    await sql.query("CREATE TABLE counts (count integer)");
    for (let count = 1; ; count++) {
      await sql.query("INSERT INTO counts VALUES ($1)", [count]);
      console.log(count);
    }
  });
`;

describe("openPglite", { timeout: 60_000 }, () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "parley-pglite-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("[R3] what was acknowledged outlives a killed process", async () => {
    const child = spawn(process.execPath, ["-e", writer, folder], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(child, "exit");
    let stored = 0;
    for await (const line of createInterface(child.stdout)) {
      stored = Number(line);
      if (stored === 50) child.kill("SIGKILL");
    }
    await exited;

    const sql = await openPglite(folder);
    const [row] = await sql.query<{ count: number }>("SELECT count(*)::int AS count FROM counts");
    expect(row!.count).toBeGreaterThanOrEqual(stored);
    await sql.close();
  });

  it("[O4] a first start that was interrupted begins again", async () => {
    const unfinished = join(folder, "postgres.unfinished");
    mkdirSync(unfinished);
    writeFileSync(join(unfinished, "PG_VERSION"), "18\n");
    const sql = await openPglite(folder);
    expect(await sql.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);

    await expect(openPglite(folder)).rejects.toThrow(`${folder} is in use`);
    await sql.close();
  });

  it("[O4] a folder that holds no database is an error that leaves it free", async () => {
    mkdirSync(join(folder, "postgres"));
    writeFileSync(join(folder, "postgres", "PG_VERSION"), "9.6\n");
    await expect(openPglite(folder)).rejects.toThrow();
    rmSync(join(folder, "postgres"), { recursive: true });
    await (await openPglite(folder)).close();
  });

  it("[R1] when the thread dies statements are answered UNAVAILABLE and the folder is free", async () => {
    const sql = await openPglite(folder);
    const underWay = sql.query("SELECT pg_sleep(60)");
    const waiting = sql.transaction((transaction) => transaction.query("SELECT 1"));
    const answers = Promise.allSettled([underWay, waiting]);
    await (sql as unknown as { worker: Worker }).worker.terminate();
    for (const answer of [...(await answers), ...(await Promise.allSettled([sql.query("")]))]) {
      expect(answer).toMatchObject({ reason: { reason: "UNAVAILABLE" } });
    }
    await sql.close();
    await (await openPglite(folder)).close();
  });

  it("[R1] statements past the queue's limit are refused at once with a retry hint", async () => {
    const sql = await openPglite();
    const queries = Array.from({ length: sqlQueueMax + 2 }, () => sql.query("SELECT 1"));
    const refused = (await Promise.allSettled(queries)).filter(
      (result) => result.status === "rejected",
    );
    expect(refused.map((result) => result.reason)).toMatchObject([
      { reason: "OVERLOADED", details: { retryAfterMs: expect.any(Number) } },
    ]);
    await sql.close();
  });
});
