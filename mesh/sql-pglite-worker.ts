/**
 * The worker thread of `sql-pglite.ts`: PGlite blocks the thread it runs in, 0.3 ms a statement.
 * Runs one statement at a time, in the order of arrival.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { messages, PGlite } from "@electric-sql/pglite";
import { NodeFS } from "@electric-sql/pglite/nodefs";
import type { SqlFailure, SqlValue } from "./sql.ts";

/** What the thread is started with. */
export interface WorkerStart {
  /** Where the data are; undefined: in memory. */
  folder: string | undefined;
}

/** What the thread is told. */
export type ToWorker = { text: string; params: readonly SqlValue[] } | "close";

/** What it answers: "ready" once, then one answer to each statement. */
export type FromWorker = "ready" | { rows: object[] } | { failure: SqlFailure };

/**
 * PGlite in a folder, made durable: PGlite runs PostgreSQL without fsync, and its file system has
 * none to offer. Measured: 0.17 ms more for each transaction that writes.
 */
class DurableNodeFs extends NodeFS {
  override async init(...[pg, overrides]: Parameters<NodeFS["init"]>): ReturnType<NodeFS["init"]> {
    const { emscriptenOpts } = await super.init(pg, overrides);
    emscriptenOpts.preRun!.push(({ NODEFS }) => {
      NODEFS.stream_ops.fsync = (stream: { nfd?: number }): 0 => {
        if (stream.nfd !== undefined) fsyncSync(stream.nfd);
        return 0;
      };
    });
    return { emscriptenOpts };
  }
}

/** The default, 128 MB, was no faster and the process 200 MB larger. */
const smallStart = [...PGlite.defaultStartParams, "-c", "shared_buffers=16MB"];

/** "-F" turns fsync off; fdatasync, the default method, is a no-op in PGlite's build. */
const durableStart = [
  ...smallStart.filter((param) => param !== "-F"),
  ...["-c", "wal_sync_method=fsync"],
];

function openIn(dataFolder: string): Promise<PGlite> {
  return PGlite.create({ fs: new DurableNodeFs(dataFolder), startParams: durableStart });
}

/**
 * Makes a database in a folder beside and renames it when it is whole and on disk: a first start
 * that was interrupted begins again, where PGlite would take half a database for one.
 */
async function makeIn(dataFolder: string): Promise<void> {
  const unfinished = `${dataFolder}.unfinished`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { recursive: true });
  await (await openIn(unfinished)).close();
  for (const path of readdirSync(unfinished, { recursive: true, encoding: "utf8" })) {
    syncPath(join(unfinished, path));
  }
  renameSync(unfinished, dataFolder);
  syncPath(join(dataFolder, ".."));
}

function syncPath(path: string): void {
  const file = openSync(path, "r");
  fsyncSync(file);
  closeSync(file);
}

async function open(folder: string | undefined): Promise<PGlite> {
  if (folder === undefined) return PGlite.create({ startParams: smallStart });
  const dataFolder = join(folder, "postgres");
  if (!existsSync(dataFolder)) await makeIn(dataFolder);
  const database = await openIn(dataFolder);
  // PostgreSQL in one process has no autovacuum: 0.2 s here and now.
  await database.exec("VACUUM (ANALYZE)");
  return database;
}

async function run(database: PGlite, text: string, params: readonly SqlValue[]): Promise<object[]> {
  if (params.length > 0) return (await database.query<object>(text, [...params])).rows;
  return ((await database.exec(text)).at(-1)?.rows ?? []) as object[];
}

function failureOf(error: unknown): SqlFailure {
  if (!(error instanceof messages.DatabaseError)) {
    return { code: "", message: String(error), constraint: "" };
  }
  const { code = "", message, constraint = "" } = error;
  return { code, message, constraint };
}

const port = parentPort!;
const answer = (message: FromWorker): void => port.postMessage(message);
const database = await open((workerData as WorkerStart).folder);

port.on("message", async (told: ToWorker) => {
  if (told === "close") {
    await database.close();
    port.close();
    return;
  }
  try {
    answer({ rows: await run(database, told.text, told.params) });
  } catch (error) {
    answer({ failure: failureOf(error) });
  }
});
answer("ready");
