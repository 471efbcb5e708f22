import type { Logger } from "./logger.ts";
import { type Sql, type SqlQueries, SqlUnavailable, type SqlValue } from "./sql.ts";

/**
 * Opens a database that its user can do without for a while: where it is away, this resolves all
 * the same, and each statement tries again to open it, and is refused while that fails.
 * @param open resolves with the open database; rejects with SqlUnavailable where it is away.
 * @throws what `open` rejects with, if it is anything else.
 */
export async function openSqlLater(open: () => Promise<Sql>, log: Logger): Promise<Sql> {
  const later = new SqlLater(open);
  try {
    await later.opened();
  } catch (err) {
    if (!(err instanceof SqlUnavailable)) throw err;
    log.warn({ event: "sql_away", err });
  }
  return later;
}

class SqlLater implements Sql {
  private readonly open: () => Promise<Sql>;
  private opening: Promise<Sql> | undefined;
  private isClosed = false;

  constructor(open: () => Promise<Sql>) {
    this.open = open;
  }

  /** The database. Who asks while it is being opened waits for the same attempt. */
  async opened(): Promise<Sql> {
    if (this.isClosed) throw new SqlUnavailable("closed");
    this.opening ??= this.open();
    try {
      return await this.opening;
    } catch (error) {
      this.opening = undefined;
      throw error;
    }
  }

  async query<Row extends object>(text: string, params: readonly SqlValue[] = []): Promise<Row[]> {
    return (await this.opened()).query<Row>(text, params);
  }

  async transaction<T>(work: (transaction: SqlQueries) => Promise<T>): Promise<T> {
    return (await this.opened()).transaction(work);
  }

  async close(): Promise<void> {
    this.isClosed = true;
    const sql = await this.opening?.catch(() => undefined);
    await sql?.close();
  }
}
