import { Worker } from "node:worker_threads";
import { DomainError } from "./errors.ts";
import { type FolderLock, lockFolder } from "./folder-lock.ts";
import { type Sql, type SqlQueries, SqlUnavailable, type SqlValue, sqlError } from "./sql.ts";
import type { FromWorker, ToWorker, WorkerStart } from "./sql-pglite-worker.ts";
import { runTransaction, type SqlConnection } from "./sql-transaction.ts";

/** Statements and transactions that wait at most; more are answered OVERLOADED. */
export const sqlQueueMax = 1_000;

/** 1,000 statements take the database about that long. */
const overloadedRetryMs = 400;

/**
 * Opens PGlite, PostgreSQL in a worker thread of this process. One connection: transactions run
 * one after the other, 2,500 statements/s, 1,400 that write. Takes 200 MB of memory; opening takes
 * 0.5 s and more with much in it, the first time in a folder 3 s and 320 MB.
 *
 * @param folder where the data are; made where it is missing. Undefined: in memory.
 * @throws FolderLocked
 */
export async function openPglite(folder?: string): Promise<Sql> {
  const lock = folder === undefined ? undefined : lockFolder(folder);
  const worker = new Worker(new URL("./sql-pglite-worker.ts", import.meta.url), {
    workerData: { folder } satisfies WorkerStart,
  });
  try {
    await new Promise<void>((resolve, reject) => {
      worker.once("message", () => resolve());
      worker.once("error", reject);
    });
  } catch (error) {
    lock?.release();
    throw error;
  }
  return new Pglite(worker, lock);
}

/** The pending statement's promise. */
interface Pending {
  resolve(rows: object[]): void;
  reject(error: Error): void;
}

class Pglite implements Sql {
  private readonly worker: Worker;
  private readonly exited: Promise<void>;
  /** Why nothing more is run; undefined: it is open. */
  private closed: Error | undefined;
  private closing: Promise<void> | undefined;
  private pending: Pending | undefined;
  /** Whether somebody has the connection, and who is next. */
  private taken = false;
  private readonly waiting: (() => void)[] = [];
  /** For who has taken it. A database that can't roll back is gone, and the transaction with it. */
  private readonly connection: SqlConnection = {
    query: (text, params) => this.run(text, params),
    rollBack: async () => {
      await this.run("ROLLBACK").catch(() => {});
    },
  };

  constructor(worker: Worker, lock: FolderLock | undefined) {
    this.worker = worker;
    worker.on("message", (message: FromWorker) => this.onMessage(message));
    worker.on("error", (error) => this.onEnd(error));
    this.exited = new Promise((resolve) => {
      worker.once("exit", () => {
        this.onEnd(new Error("the thread has ended"));
        lock?.release();
        resolve();
      });
    });
  }

  async query<Row extends object>(text: string, params: readonly SqlValue[] = []): Promise<Row[]> {
    this.refuseOverload();
    await this.take();
    try {
      return await this.run<Row>(text, params);
    } finally {
      this.give();
    }
  }

  async transaction<T>(work: (transaction: SqlQueries) => Promise<T>): Promise<T> {
    this.refuseOverload();
    await this.take();
    try {
      return await runTransaction(this.connection, work);
    } finally {
      this.give();
    }
  }

  close(): Promise<void> {
    this.closing ??= this.take().then(() => {
      this.closed ??= new Error("closed");
      this.worker.postMessage("close" satisfies ToWorker);
      this.give();
      return this.exited;
    });
    return this.closing;
  }

  /** Waits for the connection, in the order of the calls. */
  private async take(): Promise<void> {
    if (this.taken) await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.taken = true;
  }

  private refuseOverload(): void {
    if (this.waiting.length < sqlQueueMax) return;
    throw new DomainError("OVERLOADED", `${sqlQueueMax} statements wait for the database`, {
      retryAfterMs: overloadedRetryMs,
    });
  }

  private give(): void {
    const next = this.waiting.shift();
    if (next) next();
    else this.taken = false;
  }

  private run<Row extends object>(text: string, params: readonly SqlValue[] = []): Promise<Row[]> {
    return new Promise((resolve, reject) => {
      if (this.closed) return reject(new SqlUnavailable("the database is away", this.closed));
      this.pending = { resolve: resolve as Pending["resolve"], reject };
      this.worker.postMessage({ text, params } satisfies ToWorker);
    });
  }

  private onMessage(message: FromWorker): void {
    if (message === "ready") return;
    const { resolve, reject } = this.pending!;
    this.pending = undefined;
    if ("rows" in message) resolve(message.rows);
    else reject(sqlError(message.failure));
  }

  private onEnd(reason: Error): void {
    this.closed ??= reason;
    this.pending?.reject(new SqlUnavailable("the database is away", reason));
    this.pending = undefined;
  }
}
