/** A transaction on one connection, for every adapter: see Sql.transaction. */
import type { SqlQueries, SqlValue } from "./sql.ts";

/** A connection that is nobody else's meanwhile. It takes one statement at a time. */
export interface SqlConnection extends SqlQueries {
  /** Leaves the transaction, and whatever else may be wrong. Never rejects. */
  rollBack(): Promise<void>;
}

/** Runs `work` in a transaction of the connection. @throws what Sql.transaction throws. */
export async function runTransaction<T>(
  connection: SqlConnection,
  work: (transaction: SqlQueries) => Promise<T>,
): Promise<T> {
  await connection.query("BEGIN");
  const transaction = new Transaction(connection);
  try {
    const result = await work(transaction);
    await transaction.end();
    if (transaction.failed) throw transaction.failed;
    await connection.query("COMMIT");
    return result;
  } catch (error) {
    await transaction.end();
    await connection.rollBack();
    throw transaction.failed ?? error;
  }
}

/**
 * One statement after the other. Remembers the first failure: what the database answers after it
 * means nothing.
 */
class Transaction implements SqlQueries {
  failed: Error | undefined;
  private readonly connection: SqlQueries;
  private last: Promise<void> = Promise.resolve();
  private ended = false;

  constructor(connection: SqlQueries) {
    this.connection = connection;
  }

  query<Row extends object>(text: string, params: readonly SqlValue[] = []): Promise<Row[]> {
    // The connection may be another's by now.
    if (this.ended) return Promise.reject(new Error("the transaction has ended"));
    const rows = this.last.then(() => this.connection.query<Row>(text, params));
    this.last = rows.then(
      () => {},
      (error: Error) => {
        this.failed ??= error;
      },
    );
    return rows;
  }

  /** Waits for what its work has left under way; nothing follows. */
  end(): Promise<void> {
    this.ended = true;
    return this.last;
  }
}
