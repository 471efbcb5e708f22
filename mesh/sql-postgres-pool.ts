/**
 * The connections to one PostgreSQL. Who wants one stands in a line of our own, so that the
 * driver's pool always has one to give: its own waiters wait for connections that are being
 * closed, which takes for ever with a server that hangs.
 */
import {
  type CircuitBreakerPolicy,
  ConsecutiveBreaker,
  circuitBreaker,
  handleAll,
  isBrokenCircuitError,
} from "cockatiel";
import pg from "pg";
import type { Clock } from "./clock.ts";
import { ConfigError } from "./config.ts";
import { within } from "./lifecycle.ts";
import type { Logger } from "./logger.ts";
import { SqlUnavailable, type SqlValue, sqlError } from "./sql.ts";
import { ConnectionLine } from "./sql-postgres-line.ts";
import type { SqlConnection } from "./sql-transaction.ts";

/** How long nobody tries to connect after `connectFailuresMax` failures in a row. */
const breakMs = 1_000;
const connectFailuresMax = 5;
/** The driver gives a statement up so much later than the server should have: it hangs. */
const hangMs = 1_000;
/** An idle connection is closed after this. */
const idleMsMax = 60_000;
/** Closing waits for the server's farewell no longer than this. */
const closeMsMax = 2_000;
/** Statements that are prepared on each connection; texts past them are parsed each time. */
const preparedMax = 500;

/** See PostgresOptions. */
export interface PostgresPoolOptions {
  url: string;
  poolMax: number;
  statementTimeoutMs: number;
  connectTimeoutMs: number;
  waitMsMax: number;
  clock: Clock;
  log: Logger;
}

/** Up to `poolMax` connections to one database, made when they are needed. */
export class PostgresPool {
  /** "host:port/database", for people. */
  readonly place: string;
  private readonly log: Logger;
  private readonly pool: pg.Pool;
  private readonly breaker: CircuitBreakerPolicy;
  private readonly line: ConnectionLine;
  private readonly prepared = new Map<string, string>();
  private readonly underWay = new Set<Promise<unknown>>();
  private closing: Promise<void> | undefined;

  /** Connects to nothing yet. @throws ConfigError where the URL is none. */
  constructor(options: PostgresPoolOptions) {
    const { url, poolMax, statementTimeoutMs, connectTimeoutMs, log } = options;
    this.place = placeOf(url);
    this.log = log;
    this.line = new ConnectionLine(poolMax, options.waitMsMax, options.clock);
    this.pool = new pg.Pool({
      connectionString: url,
      application_name: "parley",
      max: poolMax,
      idleTimeoutMillis: idleMsMax,
      connectionTimeoutMillis: connectTimeoutMs,
      query_timeout: statementTimeoutMs + hangMs,
      keepAlive: true,
      types: { getTypeParser },
      onConnect: (client) => client.query(sessionSettings(statementTimeoutMs)),
    });
    // What breaks while nobody uses it is replaced; while somebody does, they are told.
    this.pool.on("connect", (client) => client.on("error", () => {}));
    this.pool.on("error", (err) => log.debug({ event: "postgres_connection_lost", err }));
    this.breaker = circuitBreaker(handleAll, {
      halfOpenAfter: breakMs,
      breaker: new ConsecutiveBreaker(connectFailuresMax),
    });
    const { place } = this;
    this.breaker.onBreak((reason) => {
      log.error({ event: "postgres_away", place, err: "error" in reason ? reason.error : reason });
    });
    this.breaker.onReset(() => log.warn({ event: "postgres_back", place }));
  }

  /**
   * Lends `work` a connection.
   * @throws SqlUnavailable where there is none to be had.
   * @throws DomainError OVERLOADED
   */
  use<T>(work: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    if (this.closing) return Promise.reject(new SqlUnavailable("the database is closed"));
    const used = this.lend(work);
    this.underWay.add(used);
    const onEnd = () => void this.underWay.delete(used);
    used.then(onEnd, onEnd);
    return used;
  }

  /** Lets what is under way end, and what waits, then closes. */
  close(): Promise<void> {
    this.closing ??= Promise.allSettled([...this.underWay]).then(() =>
      within(closeMsMax, this.pool.end()),
    );
    return this.closing;
  }

  private async lend<T>(work: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    await this.line.enter();
    try {
      const client = await this.connect();
      const connection = new PostgresConnection(client, (text) => this.nameOf(text));
      try {
        return await work(connection);
      } finally {
        // One that is left in a transaction is nobody's to go on with either.
        client.release(connection.broken || client.getTransactionStatus() !== "I");
      }
    } finally {
      this.line.leave();
    }
  }

  private async connect(): Promise<pg.PoolClient> {
    try {
      return await this.breaker.execute(() => this.pool.connect());
    } catch (error) {
      if (!isBrokenCircuitError(error)) {
        this.log.warn({ event: "postgres_not_connected", place: this.place, err: error });
      }
      throw new SqlUnavailable("the database is away", error);
    }
  }

  /** The name under which a statement is prepared; undefined: it is not. */
  private nameOf(text: string): string | undefined {
    const name = this.prepared.get(text);
    if (name !== undefined || this.prepared.size >= preparedMax) return name;
    const next = `parley_${this.prepared.size}`;
    this.prepared.set(text, next);
    return next;
  }
}

/** A connection in somebody's hands. One statement at a time. */
export class PostgresConnection implements SqlConnection {
  /** Whether it is of no further use. */
  broken = false;
  private readonly client: pg.PoolClient;
  private readonly nameOf: (text: string) => string | undefined;

  constructor(client: pg.PoolClient, nameOf: (text: string) => string | undefined) {
    this.client = client;
    this.nameOf = nameOf;
  }

  async query<Row extends object>(text: string, params: readonly SqlValue[] = []): Promise<Row[]> {
    try {
      if (params.length === 0) return lastRows(await this.client.query(text));
      const name = this.nameOf(text);
      const statement = { ...(name !== undefined && { name }), text, values: [...params] };
      return (await this.client.query(statement)).rows;
    } catch (error) {
      throw this.failed(error);
    }
  }

  /** Leaves the transaction; a connection that can't is broken. Never rejects. */
  async rollBack(): Promise<void> {
    if (this.broken) return;
    await this.query("ROLLBACK").catch(() => {
      this.broken = true;
    });
  }

  private failed(error: unknown): Error {
    if (!(error instanceof pg.DatabaseError)) {
      this.broken = true;
      return new SqlUnavailable("the database is away", error);
    }
    const { code = "", message, constraint = "", severity, routine } = error;
    // A prepared statement whose tables have changed since; nothing was run.
    if (routine === "RevalidateCachedQuery") {
      this.broken = true;
      return new SqlUnavailable("the tables have changed", error);
    }
    const answer = sqlError({ code, message, constraint });
    // FATAL ends the connection; a standby that was the primary refuses what writes.
    this.broken ||= severity !== "ERROR" || code === readOnlyCode;
    return answer;
  }
}

/** read_only_sql_transaction */
const readOnlyCode = "25006";

/**
 * What the port's promises rest on, whatever the database's own settings are. A process that
 * stops in the middle of a transaction would keep its locks: the server ends it.
 */
function sessionSettings(statementTimeoutMs: number): string {
  return `
    SET statement_timeout = ${statementTimeoutMs};
    SET idle_in_transaction_session_timeout = ${statementTimeoutMs};
    SET default_transaction_isolation = 'read committed';
    SET DateStyle = 'ISO'`;
}

/** The driver's types, but for bytes: its Buffer has a `slice` that shares memory. */
const getTypeParser: typeof pg.types.getTypeParser = (type: number, format?: "text" | "binary") => {
  const parse = pg.types.getTypeParser(type, format as "text");
  if (type !== pg.types.builtins.BYTEA) return parse;
  return (text: string) => {
    const { buffer, byteOffset, byteLength } = parse(text) as Buffer;
    return new Uint8Array(buffer, byteOffset, byteLength);
  };
};

function lastRows<Row>(result: pg.QueryResult | pg.QueryResult[]): Row[] {
  return (Array.isArray(result) ? result.at(-1)!.rows : result.rows) as Row[];
}

function placeOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !/^postgres(ql)?:$/.test(parsed.protocol)) {
    // Not shown: what is no URL may still hold a password.
    throw new ConfigError("the URL of PostgreSQL is not one: postgres://user@host:5432/database");
  }
  const { hostname, port, pathname } = parsed;
  return `${hostname}:${port || 5432}${pathname}`;
}
