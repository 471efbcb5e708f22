/** The server under load, with what the benches look at from outside. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cluster } from "../deploy/cluster.ts";
import { systemClock as clock } from "../mesh/clock.ts";
import { silentLogger as log } from "../mesh/logger.ts";
import type { Sql } from "../mesh/sql.ts";
import { openPglite } from "../mesh/sql-pglite.ts";
import { openPostgres } from "../mesh/sql-postgres.ts";
import { OwnCluster } from "../tests/cluster/own-cluster.ts";
import { Instances } from "../tests/instances.ts";
import { type ParleyProcess, startParley } from "../tests/parley-process.ts";
import { closeClients } from "./load-client.ts";
import { type CpuTimes, cpuTimes, cpuTotal } from "./process-cpu.ts";
import type { Backend } from "./scenario.ts";

/** A running server. */
export interface LoadServer {
  /** Of its edges. */
  readonly urls: readonly string[];
  /** CPU seconds used by its parts: the threads of the one process, or roles and servers. */
  cpu(): CpuTimes;
  /** What each instance of a service shows as metrics; the one process has those of all. */
  metrics(service: string): Promise<string[]>;
  /** The one process that has every role, which can be profiled, and its log. */
  readonly single: { pid: number; log: readonly string[] } | undefined;
  /** What only a cluster has: processes and servers of its own. */
  readonly cluster: Cluster | undefined;
  /** Asks the database of accounts, last of all: the one process is ended for it. */
  queryAccounts<Row extends object>(statement: string): Promise<Row[]>;
  /** Closes all clients of this process, ends the server and removes its data. */
  stop(): Promise<void>;
}

/** Of each role in a cluster. */
const instancesEach = 2;

/** Settings, `PARLEY_…`. */
type Environment = Readonly<Record<string, string>>;

/**
 * Starts a server in a new folder, where passwords cost little unless `environment` says otherwise.
 * It ends with this process at the latest.
 */
export function startServer(backend: Backend, environment: Environment = {}): Promise<LoadServer> {
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
  return backend === "embedded" ? startEmbedded(environment) : startWholeCluster(environment);
}

async function startEmbedded(environment: Environment): Promise<LoadServer> {
  // SIGUSR1 opens the inspector (cpu-profile.ts); then on any free port.
  const parley = await startParley({
    dataDir: mkdtempSync(join(tmpdir(), "parley-bench-")),
    environment: { NODE_OPTIONS: "--inspect-port=0", ...environment },
  });
  const onExit = () => endAtOnce(parley);
  process.once("exit", onExit);
  const pid = servingPid(parley.pid);
  return {
    urls: [parley.url],
    cpu: () => new Map([...cpuTimes(pid)].map(([name, used]) => [`thread ${name}`, used])),
    metrics: async () => [await textAt(parley.metricsUrl)],
    single: { pid, log: parley.log },
    cluster: undefined,
    async queryAccounts(statement) {
      await parley.stop();
      return queryAndClose(await openPglite(join(parley.dataDir, "sql")), statement);
    },
    async stop() {
      await closeClients();
      await parley.stop();
      rmSync(parley.dataDir, { recursive: true, force: true });
      process.off("exit", onExit);
    },
  };
}

async function startWholeCluster(environment: Environment): Promise<LoadServer> {
  const own = await OwnCluster.start({
    edges: instancesEach,
    environment: { PARLEY_LOG_LEVEL: "error", ...environment },
    onLog: (line) => console.error(line),
  });
  const { cluster } = own;
  const { nats, consul, cassandra, postgres } = cluster.servers;
  const instances = new Instances(consul.url);
  const parts: [string, () => (number | undefined)[]][] = [
    ["NATS", () => nats.nodes.map((node) => node.process.pid)],
    ["Consul", () => [consul.process.pid]],
    ["Cassandra", () => [cassandra.process.pid]],
    ["PostgreSQL", () => [postgres.process.pid]],
  ];
  const used = (pid: number | undefined) => (pid === undefined ? 0 : cpuTotal(cpuTimes(pid)));
  const sum = (pids: readonly (number | undefined)[]) =>
    pids.reduce<number>((total, pid) => total + used(pid), 0);
  return {
    urls: cluster.edgeUrls,
    cpu() {
      const roles = Map.groupBy(cluster.processes, ({ role }) => role);
      return new Map([
        ...[...roles].map(([role, all]) => [role, sum(all.map(({ pid }) => pid))] as const),
        ...parts.map(([name, pids]) => [name, sum(pids())] as const),
      ]);
    },
    async metrics(service) {
      const found = await instances.find(service, instancesEach);
      return Promise.all(found.map(({ metadata }) => textAt(metadata.metrics_url!)));
    },
    single: undefined,
    cluster,
    async queryAccounts(statement) {
      return queryAndClose(await openPostgres({ url: postgres.url, clock, log }), statement);
    },
    async stop() {
      await closeClients();
      await own.stop();
    },
  };
}

async function textAt(url: string): Promise<string> {
  return (await fetch(url)).text();
}

async function queryAndClose<Row extends object>(sql: Sql, statement: string): Promise<Row[]> {
  try {
    return await sql.query<Row>(statement);
  } finally {
    await sql.close();
  }
}

function endAtOnce(parley: ParleyProcess): void {
  try {
    process.kill(-parley.pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
  rmSync(parley.dataDir, { recursive: true, force: true });
}

/** The process of npm's group that runs parley.ts itself. */
function servingPid(group: number): number {
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const [program = "", ...args] = read(`/proc/${entry}/cmdline`).split("\0");
    if (!program.endsWith("node") || !args.includes("parley.ts")) continue;
    // Field 5 of proc(5)'s stat, counted from the end of the name, which is field 2.
    const stat = read(`/proc/${entry}/stat`);
    if (Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2]) === group) return Number(entry);
  }
  throw new Error("the server's process was not found");
}

/** Processes come and go while one looks. */
function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
