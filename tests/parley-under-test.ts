/**
 * Parley as a whole, on the back end that a run of a test is about: one process with everything in
 * it, or the cluster that such tests share.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inject } from "vitest";
import { Supervised } from "../deploy/supervised.ts";
import { systemClock as clock } from "../mesh/clock.ts";
import { silentLogger as log } from "../mesh/logger.ts";
import { openPglite } from "../mesh/sql-pglite.ts";
import { openPostgres } from "../mesh/sql-postgres.ts";
import { Instances } from "./instances.ts";
import { startParley } from "./parley-process.ts";
import { settings } from "./settings.ts";

/** How one is opened. */
export interface ParleyOptions {
  /** Settings of its edges. A cluster's are started for the test then. */
  edge?: Record<string, string>;
}

/** A running Parley. */
export interface ParleyUnderTest {
  /** Of its edges. */
  readonly urls: readonly string[];
  /** Each of them in turn. Needs no `this`. */
  nextUrl(): string;
  /** Where an instance of a service answers gRPC: "127.0.0.1:41234". */
  grpcAddress(service: string): Promise<string>;
  /** What each of its edges shows as metrics. */
  edgeMetrics(): Promise<string[]>;
  /** What it has logged of an event. */
  logged(event: string): Record<string, unknown>[];
  /** Asks the database of accounts. The one process is started anew for it. */
  queryAccounts<Row extends object>(statement: string): Promise<Row[]>;
  stop(): Promise<void>;
}

/** Starts the one process, or turns to the cluster that runs. */
export async function openParley(options: ParleyOptions = {}): Promise<ParleyUnderTest> {
  return inject("cluster") ? openCluster(options) : openOneProcess(options);
}

async function openOneProcess({ edge }: ParleyOptions): Promise<ParleyUnderTest> {
  const dataDir = mkdtempSync(join(tmpdir(), "parley-"));
  const environment = { ...settings, ...edge };
  let parley = await startParley({ dataDir, environment });
  const { url, port } = parley;
  return {
    urls: [url],
    nextUrl: () => url,
    grpcAddress: async () => parley.grpcAddress,
    edgeMetrics: async () => [await textAt(parley.metricsUrl)],
    logged: (event) => linesOf(event, parley.log),
    async queryAccounts(statement) {
      await parley.stop();
      const sql = await openPglite(join(dataDir, "sql"));
      const rows = await sql.query(statement);
      await sql.close();
      parley = await startParley({ dataDir, port, environment });
      return rows as never;
    },
    async stop() {
      await parley.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** Edges of a test that has settings for them: as many as the cluster has. */
const ownEdges = 2;

async function openCluster({ edge }: ParleyOptions): Promise<ParleyUnderTest> {
  const cluster = inject("cluster")!;
  const { consulUrl, postgresUrl } = inject("servers");
  const instances = new Instances(consulUrl);
  const started = edge ? Array.from({ length: ownEdges }, () => startRole("edge", edge)) : [];
  await Promise.all(started.map((each) => each.ready()));
  const urls = edge ? started.map(({ address }) => address) : cluster.edgeUrls;
  let turn = 0;
  return {
    urls,
    nextUrl: () => urls[turn++ % urls.length]!,
    grpcAddress: async (service) => (await instances.find(service))[0]!.address,
    async edgeMetrics() {
      const isOurs = (address: string) => urls.includes(`http://${address}`);
      const edges = await instances.find("parley.edge", urls.length, isOurs);
      return Promise.all(edges.map(({ metadata }) => textAt(metadata.metrics_url!)));
    },
    logged: (event) => linesOf(event, readFileSync(cluster.logFile, "utf8").split("\n")),
    async queryAccounts(statement) {
      const sql = await openPostgres({ url: postgresUrl, clock, log });
      const rows = await sql.query(statement);
      await sql.close();
      return rows as never;
    },
    async stop() {
      await Promise.all(started.map((each) => each.stop()));
    },
  };
}

/**
 * Starts one more process of the cluster that runs, or beside it where its settings say so. No
 * Presence in it: other tests ask for presence, which a new instance does not know at once.
 */
export function startRole(
  role: string,
  environment: Record<string, string> = {},
  onLog: (line: string) => void = () => {},
): Supervised {
  return new Supervised({
    role,
    environment: {
      ...process.env,
      ...inject("cluster")!.environment,
      PARLEY_EDGE_PORT: "0",
      ...environment,
    },
    onLog,
  });
}

function linesOf(event: string, lines: readonly string[]): Record<string, unknown>[] {
  const ofEvent = lines.filter((line) => line.includes(`"event":"${event}"`));
  return ofEvent.map((line) => JSON.parse(line.slice(line.indexOf("{"))));
}

async function textAt(url: string): Promise<string> {
  return (await fetch(url)).text();
}
