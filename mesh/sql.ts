/**
 * The SQL database: PostgreSQL 15 or later, or PGlite in this process. This comment is the
 * specification; `sql.contract.ts` checks it for every adapter.
 *
 * Statements are PostgreSQL's, in the dialect of version 15. Values: text, integer (32 bits),
 * boolean, timestamptz (a Date, milliseconds) and bytea (Uint8Array); text[] as a parameter
 * alone; null. Anything wider is cast in the statement, `count(*)::int`: drivers differ there.
 *
 * A single statement is a transaction of its own. The isolation is READ COMMITTED: what one
 * statement reads may have changed by the next, unless it was locked (`FOR UPDATE`). What has
 * resolved is durable and visible to every later statement. Of a statement, or of a
 * transaction's end, that fails with {@link SqlUnavailable}, nobody knows whether it happened.
 */
import { DomainError, retryAfterMsDefault } from "./errors.ts";

/** What a parameter may be. */
export type SqlValue = string | number | boolean | Date | Uint8Array | readonly string[] | null;

/** Runs statements. */
export interface SqlQueries {
  /**
   * Runs a statement with `$1`, `$2`… and answers its rows, in the column names of the
   * statement. Without parameters the text may hold several statements: they are one
   * transaction, and the rows are the last one's.
   *
   * @throws UniqueViolation
   * @throws SqlUnavailable
   * @throws DomainError OVERLOADED: too many wait for the database; nothing was run.
   * @throws Error for statements that can't be right.
   */
  query<Row extends object>(text: string, params?: readonly SqlValue[]): Promise<Row[]>;
}

/** A database. */
export interface Sql extends SqlQueries {
  /**
   * Runs `work` in a transaction and commits when its promise resolves. It is rolled back when
   * the promise rejects, and when any statement in it has failed, caught or not; the promise
   * then rejects with that error. Its statements run one after the other; one that was left under
   * way is waited for, and what comes after the end is refused with an Error. `work` uses the
   * argument alone and waits for nothing else, as others may be waiting for the connection.
   *
   * @throws what `query` throws.
   */
  transaction<T>(work: (transaction: SqlQueries) => Promise<T>): Promise<T>;

  /** Lets what is under way end and closes. What follows is refused with SqlUnavailable. */
  close(): Promise<void>;
}

/** A row of that key exists. */
export class UniqueViolation extends Error {
  override readonly name = "UniqueViolation";
  /** The name of the constraint or unique index that was hit. */
  readonly constraint: string;

  constructor(constraint: string) {
    super(`${constraint}: a row of that key exists`);
    this.constraint = constraint;
  }
}

/** The database can't be reached, or gave up for now. Callers of the service see UNAVAILABLE. */
export class SqlUnavailable extends DomainError<"UNAVAILABLE"> {
  constructor(message: string, cause?: unknown) {
    super("UNAVAILABLE", message, { retryAfterMs: retryAfterMsDefault }, cause);
  }
}

/** What a driver says of a failed statement. */
export interface SqlFailure {
  /** The SQLSTATE, five characters; empty: the driver's own trouble. */
  code: string;
  message: string;
  constraint: string;
}

/**
 * SQLSTATEs of a database that is away, only reads (25006, no longer the primary), gave up an idle
 * transaction (25P03), has run out of something or broke a tie between two
 * transactions: trying again may help.
 * https://www.postgresql.org/docs/15/errcodes-appendix.html
 */
const retryable = /^(08|25006|25P03|40|53|55P03|57|58)/;

/** The error that a failed statement is answered with. */
export function sqlError(failure: SqlFailure): Error {
  if (failure.code === "23505") return new UniqueViolation(failure.constraint);
  const message = `SQL ${failure.code}: ${failure.message}`;
  return retryable.test(failure.code)
    ? new SqlUnavailable("the database is away", new Error(message))
    : new Error(message);
}
