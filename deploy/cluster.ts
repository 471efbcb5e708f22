/**
 * A cluster on one machine: the real servers, and several instances of every role, each a process
 * of its own that is started again when it dies.
 */
import { randomBytes } from "node:crypto";
import { roleNames } from "../roles.ts";
import type { NatsSync } from "./servers/nats.ts";
import { freePorts } from "./servers/ports.ts";
import { type Servers, startServers } from "./servers/servers.ts";
import { Supervised } from "./supervised.ts";

/** How the processes of a cluster are started. */
export interface ProcessesOptions {
  /** Of the edges; 0: a free one. */
  edgePorts: readonly number[];
  /** Whether clients are sent to the edges, at their addresses on this machine. Default: false. */
  assignsEdges?: boolean;
  /** What each edge is given besides, in the order of their ports. */
  edgeSettings?: readonly Readonly<Record<string, string>>[];
  /** How many of a role, where it is not two. */
  instances?: Readonly<Record<string, number>>;
  /** Settings of all roles, where the servers are among them. */
  environment: Readonly<Record<string, string | undefined>>;
  onLog(line: string): void;
}

/** How a cluster is started. */
export interface ClusterOptions extends ProcessesOptions {
  /** All data. */
  folder: string;
  natsNodes: 1 | 3;
  sync: NatsSync;
}

/** The running processes of a cluster. */
export interface Processes {
  /** "http://127.0.0.1:8080", one for each edge. */
  readonly edgeUrls: readonly string[];
  readonly processes: readonly Supervised[];
  /** What every process was given. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Starts one more instance of a role; resolves when it is ready. */
  add(role: string): Promise<Supervised>;
  /** Drains all, those first that others do not call. */
  stop(): Promise<void>;
}

/** A running cluster. */
export interface Cluster extends Processes {
  readonly servers: Servers;
}

/** Of each role but the edge. */
const instancesEach = 2;

/** Starts all of it; resolves when every process is ready. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { folder, natsNodes, sync } = options;
  const servers = await startServers({ folder, natsNodes, sync });
  const environment = {
    ...options.environment,
    ...servers.environment,
    PARLEY_NATS_REPLICAS: String(natsNodes),
  };
  try {
    const processes = await startProcesses({ ...options, environment });
    return {
      ...processes,
      servers,
      async stop() {
        await processes.stop();
        await servers.stop();
      },
    };
  } catch (error) {
    await servers.stop();
    throw error;
  }
}

/** Starts the processes alone, on servers that run; resolves when every one is ready. */
export async function startProcesses(options: ProcessesOptions): Promise<Processes> {
  const { instances = {}, assignsEdges = false, edgeSettings = [], onLog } = options;
  const environment = {
    ...options.environment,
    PARLEY_MESH_SECRET: randomBytes(32).toString("base64url"),
    PARLEY_METRICS_PORT: "0",
    PARLEY_GRPC_PORT: "0",
  };
  const processes: Supervised[] = [];
  const run = (role: string, settings: Record<string, string> = {}) => {
    const started = new Supervised({
      role,
      environment: { ...environment, ...settings },
      onLog: (line) => onLog(`${role}: ${line}`),
    });
    processes.push(started);
    return started;
  };
  const runEdge = (port: number, settings: Readonly<Record<string, string>> = {}) =>
    run("edge", {
      PARLEY_EDGE_PORT: String(port),
      ...(assignsEdges && { PARLEY_EDGE_PUBLIC_URL: `http://127.0.0.1:${port}` }),
      ...settings,
    });
  const free = await freePorts(options.edgePorts.length);
  const edgePorts = options.edgePorts.map((port, i) => port || free[i]!);
  async function stop(): Promise<void> {
    for (const role of roleNames.toReversed()) {
      await Promise.all(processes.filter((each) => each.role === role).map((each) => each.stop()));
    }
  }
  try {
    for (const role of roleNames) {
      if (role === "edge") {
        for (const [i, port] of edgePorts.entries()) runEdge(port, edgeSettings[i]);
      } else {
        for (let i = 0; i < (instances[role] ?? instancesEach); i++) run(role);
      }
    }
    await Promise.all(processes.map((each) => each.ready()));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    edgeUrls: edgePorts.map((port) => `http://127.0.0.1:${port}`),
    processes,
    environment,
    async add(role) {
      const started = role === "edge" ? runEdge((await freePorts(1))[0]!) : run(role);
      await started.ready();
      return started;
    },
    stop,
  };
}
