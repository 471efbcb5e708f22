import type { Clock } from "./clock.ts";
import type { Logger } from "./logger.ts";
import { type Sql, type SqlQueries, SqlUnavailable, type SqlValue } from "./sql.ts";
import { PostgresPool } from "./sql-postgres-pool.ts";
import { checkPostgres } from "./sql-postgres-settings.ts";
import { runTransaction } from "./sql-transaction.ts";

/** What a connection to PostgreSQL needs. */
export interface PostgresOptions {
  /** "postgres://user:password@host:port/database?sslmode=…"; the database exists. */
  url: string;
  /** Connections at most. Default: 10. */
  poolMax?: number;
  /** How long a statement may take; migrations keep to it too. Default: 10,000. */
  statementTimeoutMs?: number;
  /** How long connecting may take. Default: 2,000. */
  connectTimeoutMs?: number;
  /** How long a statement or transaction waits for a connection. Default: 2,000. */
  waitMsMax?: number;
  clock: Clock;
  log: Logger;
}

/**
 * Connects to a PostgreSQL of version 15 or later and checks that it is fit. A database that goes
 * away later is connected to again by itself.
 *
 * Waiting for a connection is bounded, in number (`sqlWaitingMax`) and in time; past either
 * the answer is OVERLOADED. A statement that takes too long is cancelled and answered with
 * SqlUnavailable, as is a transaction that says nothing for that long.
 *
 * @throws ConfigError where the database can't serve: a wrong URL, version, encoding, a standby.
 * @throws SqlUnavailable where it can't be reached now or lets nobody in; the message says why.
 */
export async function openPostgres(options: PostgresOptions): Promise<Sql> {
  const pool = new PostgresPool({
    poolMax: 10,
    statementTimeoutMs: 10_000,
    connectTimeoutMs: 2_000,
    waitMsMax: 2_000,
    ...options,
  });
  try {
    await pool.use((connection) => checkPostgres(connection, pool.place, options.log));
  } catch (error) {
    await pool.close();
    if (!(error instanceof SqlUnavailable)) throw error;
    const { message } = (error.cause ?? error) as Error;
    throw new SqlUnavailable(`PostgreSQL ${pool.place} can't be used: ${message}`, error);
  }
  return new Postgres(pool);
}

class Postgres implements Sql {
  private readonly pool: PostgresPool;

  constructor(pool: PostgresPool) {
    this.pool = pool;
  }

  query<Row extends object>(text: string, params: readonly SqlValue[] = []): Promise<Row[]> {
    return this.pool.use((connection) => connection.query<Row>(text, params));
  }

  transaction<T>(work: (transaction: SqlQueries) => Promise<T>): Promise<T> {
    return this.pool.use((connection) => runTransaction(connection, work));
  }

  close(): Promise<void> {
    return this.pool.close();
  }
}
