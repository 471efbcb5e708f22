/**
 * The one way in which stores talk to Cassandra: prepared, idempotent statements, read and written
 * at QUORUM, with a limit to what is under way, a deadline to each call and a breaker, so that a
 * cluster that is away costs its callers little. It connects by itself, for as long as it takes.
 */
import type { ConnectionOptions } from "node:tls";
import cassandra from "cassandra-driver";
import { bulkhead, ConsecutiveBreaker, circuitBreaker, handleWhen, wrap } from "cockatiel";
import { ByteLimit } from "./byte-limit.ts";
import {
  type Batch,
  batchesOf,
  batchPartitionsMax,
  type CassandraValue,
  type Statement,
  type Write,
} from "./cassandra-batches.ts";
import { isAway, reasonOf, reasonsOf, tooManyWait, wrongArgument } from "./cassandra-errors.ts";
import { bringUpToDate, type CassandraSchema, SchemaMismatch } from "./cassandra-schema.ts";
import { type Clock, sleep } from "./clock.ts";
import { concurrently } from "./concurrently.ts";
import { ConfigError } from "./config.ts";
import { within } from "./lifecycle.ts";
import type { Logger } from "./logger.ts";

/** Where the cluster is and what is kept there. */
export interface CassandraOptions {
  /** "host:port" of some nodes; the others are found through them. */
  contactPoints: readonly string[];
  /** The data centre whose nodes are asked. */
  localDataCenter: string;
  /** 1 to 48 of a-z, 0-9 and _; made if missing. */
  keyspace: string;
  /** Copies of each row by data centre, where the keyspace has to be made: { dc1: 3 }. */
  replicas: Readonly<Record<string, number>>;
  credentials?: { username: string; password: string };
  /** Without it nothing is encrypted. */
  tls?: ConnectionOptions;
  schema: CassandraSchema;
  clock: Clock;
  logger: Logger;
}

/** A row by the names of its columns. */
export type CassandraRow = Record<string, CassandraValue>;

/** The cluster did not do it, or not within the deadline; a write may have been made. */
export class CassandraUnavailable extends Error {
  override readonly name = "CassandraUnavailable";
}

/** How long the end of the connection may take. */
const shutdownMsMax = 2_000;
/** Statements of one call under way at one time. */
const callConcurrencyMax = 64;
/** Statements under way at one time: beyond them they wait. */
const underWayMax = 1_024;
/** Statements that wait for those, and writes for others' bytes; beyond them they are refused. */
const waitingMax = 8_192;
/** Bytes of writes under way at one time; the rest waits before its own time begins. */
const writingBytesMax = 4 << 20;
/** How long a node may take before the next one is asked. */
const readTimeoutMs = 2_000;
/** A change of the schema takes longer, and seconds on a busy node. */
const schemaOptions = { prepare: false, readTimeout: 20_000 };
/** How long a statement may take, whatever is tried. */
const deadlineMs = 5_000;
/** How long an opening waits for the cluster; it goes on by itself. */
const openWaitMs = 10_000;
/** Of all rows, any one's: there are as many replicas of each. */
const anyKey = Buffer.of(0);
/** Between two attempts to connect. */
const reconnectMs = 1_000;
/** Consecutive failures after which nobody asks for {@link breakMs}. */
const failuresMax = 10;
const breakMs = 1_000;

/**
 * Connects, and makes what is missing of the keyspace and its tables. Resolves also where the
 * cluster can't be reached within 10 s: a process starts without it, calls reject until it is back.
 * @throws SchemaMismatch; ConfigError where the cluster has no such data centre; RangeError for a
 *   keyspace's name
 */
export async function openCassandra(options: CassandraOptions): Promise<Cassandra> {
  if (!/^[a-z][a-z0-9_]{0,47}$/.test(options.keyspace)) {
    throw new RangeError(`keyspace: "${options.keyspace}" is not 1 to 48 of a-z, 0-9 and _`);
  }
  const connection = new Cassandra(options);
  const opened = connection.open();
  const waited = new AbortController();
  try {
    const late = sleep(options.clock, openWaitMs, waited.signal).catch(() => {});
    await Promise.race([opened, late]);
  } catch (error) {
    await connection.close();
    throw error;
  } finally {
    waited.abort();
  }
  opened.catch((err) => options.logger.error({ event: "cassandra_refused", err }));
  return connection;
}

/** A connection to a keyspace. */
export class Cassandra {
  private readonly options: CassandraOptions;
  private readonly closing = new AbortController();
  private client: cassandra.Client | undefined;
  private readonly limit = bulkhead(underWayMax, waitingMax);
  private readonly writing = new ByteLimit(writingBytesMax);
  private readonly breaker = circuitBreaker(handleWhen(isAway), {
    halfOpenAfter: breakMs,
    breaker: new ConsecutiveBreaker(failuresMax),
  });
  private readonly policy = wrap(this.limit, this.breaker);

  constructor(options: CassandraOptions) {
    this.options = options;
    const { logger } = options;
    // A trial that fails breaks it again: that is no news.
    let isTold = false;
    this.breaker.onBreak(() => {
      if (!isTold) logger.warn({ event: "cassandra_away" });
      isTold = true;
    });
    this.breaker.onReset(() => {
      logger.info({ event: "cassandra_back" });
      isTold = false;
    });
  }

  /** The rows of a query, all of them: its limit must fit into memory. */
  async read(query: Statement): Promise<CassandraRow[]> {
    return this.call(async (client) => {
      const rows: unknown[] = [];
      let pageState: string | undefined;
      do {
        const options = pageState === undefined ? {} : { pageState };
        const page = await client.execute(query.cql, [...query.values], options);
        rows.push(...page.rows);
        pageState = page.pageState;
      } while (pageState);
      return rows as CassandraRow[];
    });
  }

  /** The rows of each query. */
  async readAll(queries: readonly Statement[]): Promise<CassandraRow[][]> {
    return concurrently(queries, callConcurrencyMax, (query) => this.read(query));
  }

  /**
   * Makes the writes in batches, in no order: of one partition each, for the nodes that have it,
   * and of several where each node has all rows. Where it rejects, some may have been made.
   */
  async write(writes: readonly Write[]): Promise<void> {
    const partitionsMax = this.hasAllOnEachNode() ? batchPartitionsMax : 1;
    await concurrently(batchesOf(writes, partitionsMax), callConcurrencyMax, async (batch) => {
      if (this.writing.waits >= waitingMax) throw new CassandraUnavailable(tooManyWait(waitingMax));
      await this.writing.run(batch.bytes, () => this.call((client) => writeBatch(client, batch)));
    });
  }

  /**
   * Makes an INSERT unless there is such a row: of all who try at one time one succeeds, and whoever
   * reads afterwards sees its row (a lightweight transaction, at SERIAL; four times the cost of a
   * write). Answers with the row that there was; undefined: there was none. Where it rejects the
   * insert may have been made, or be made yet: trying again settles that.
   */
  async insertOnce({ cql, values }: Statement): Promise<CassandraRow | undefined> {
    const [row] = await this.read({ cql: `${cql} IF NOT EXISTS`, values });
    return row!["[applied]"] === true ? undefined : row;
  }

  /** Connects; tries until it can or is closed. Only {@link openCassandra} calls it, once. */
  async open(): Promise<void> {
    const { clock, logger } = this.options;
    const { signal } = this.closing;
    for (let attempts = 0; !signal.aborted; attempts++) {
      try {
        await this.connect();
        return;
      } catch (err) {
        if (err instanceof SchemaMismatch) throw err;
        const wrong = wrongArgument(err);
        if (wrong) throw new ConfigError(`Cassandra can't be used: ${wrong.message}`);
        if (attempts % 60 === 0) {
          logger.warn({ event: "cassandra_not_connected", reasons: reasonsOf(err) });
        }
      }
      await sleep(clock, reconnectMs, signal).catch(() => {});
    }
  }

  /** Ends the connection; nothing should be under way. */
  async close(): Promise<void> {
    this.closing.abort();
    const { client } = this;
    this.client = undefined;
    // The driver's end hangs where a node was lost and has come back.
    if (client) await within(shutdownMsMax, client.shutdown());
  }

  private async connect(): Promise<void> {
    const { keyspace, schema, logger } = this.options;
    await this.withClient({}, (client) => this.makeKeyspace(client));
    const client = this.newClient({ keyspace });
    try {
      await client.connect();
      const state = await bringUpToDate(keyspace, schema, async (cql, values) => {
        const { rows } = await client.execute(cql, [...values], schemaOptions);
        return rows as unknown as Record<string, string>[];
      });
      const { part } = schema;
      if (state.run.length > 0) logger.info({ event: "cassandra_schema_made", part, ...state });
      if (state.newer.length > 0) logger.warn({ event: "cassandra_schema_newer", part, ...state });
    } catch (error) {
      await client.shutdown();
      throw error;
    }
    if (this.closing.signal.aborted) await client.shutdown();
    else this.client = client;
  }

  private async makeKeyspace(client: cassandra.Client): Promise<void> {
    const { keyspace, replicas, logger } = this.options;
    const find = () =>
      client.execute("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?", [
        keyspace,
      ]);
    let { rows } = await find();
    if (rows.length === 0) {
      const replication = Object.entries({ class: "NetworkTopologyStrategy", ...replicas })
        .map(([name, value]) => `'${name}': '${value}'`)
        .join(", ");
      const cql = `CREATE KEYSPACE IF NOT EXISTS ${keyspace} WITH replication = {${replication}}`;
      await client.execute(cql, [], schemaOptions);
      ({ rows } = await find());
    }
    // What a resolved write means: it is on most of these replicas.
    logger.info({ event: "cassandra_connected", keyspace, replication: rows[0]?.replication });
  }

  private async withClient(
    options: cassandra.ClientOptions,
    action: (client: cassandra.Client) => Promise<void>,
  ): Promise<void> {
    const client = this.newClient(options);
    try {
      await client.connect();
      await action(client);
    } finally {
      await client.shutdown();
    }
  }

  private newClient(options: cassandra.ClientOptions): cassandra.Client {
    const { contactPoints, localDataCenter, credentials, tls } = this.options;
    const { ConstantReconnectionPolicy } = cassandra.policies.reconnection;
    return new cassandra.Client({
      contactPoints: [...contactPoints],
      localDataCenter,
      ...(credentials && { credentials }),
      ...(tls && { sslOptions: tls }),
      ...options,
      encoding: { useBigIntAsLong: true, useUndefinedAsUnset: true },
      policies: { reconnection: new ConstantReconnectionPolicy(reconnectMs) },
      pooling: { heartBeatInterval: 10_000 },
      queryOptions: {
        consistency: cassandra.types.consistencies.quorum,
        prepare: true,
        isIdempotent: true,
        logged: false,
        fetchSize: 5_000,
      },
      socketOptions: { readTimeout: readTimeoutMs, connectTimeout: readTimeoutMs },
    });
  }

  private hasAllOnEachNode(): boolean {
    if (!this.client) return false;
    const { metadata, hosts } = this.client;
    const replicas = metadata.getReplicas(this.options.keyspace, anyKey);
    return replicas?.length === hosts.length;
  }

  private async call<T>(action: (client: cassandra.Client) => Promise<T>): Promise<T> {
    const { client } = this;
    if (!client) throw new CassandraUnavailable("not connected to Cassandra");
    try {
      return await this.withinDeadline(this.policy.execute(() => action(client)));
    } catch (error) {
      if (!isAway(error)) throw error;
      throw new CassandraUnavailable(reasonOf(error, waitingMax), { cause: error });
    }
  }

  private withinDeadline<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.options.clock.setTimer(deadlineMs, () => {
        reject(new CassandraUnavailable(`no answer in ${deadlineMs} ms`));
      });
      work.then(resolve, reject).finally(() => timer.cancel());
    });
  }
}

async function writeBatch(client: cassandra.Client, { writes }: Batch): Promise<void> {
  const [first] = writes;
  if (writes.length === 1) await client.execute(first!.cql, [...first!.values]);
  else await client.batch(writes.map(({ cql, values }) => ({ query: cql, params: [...values] })));
}
