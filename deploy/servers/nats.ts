import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "./ports.ts";
import { serverPrograms } from "./provision.ts";
import { type ServerProcess, startServer } from "./server-process.ts";

/** How NATS is run. */
export interface NatsOptions {
  folder: string;
  /** Of the first node's clients; 0: a free one. */
  port: number;
  /** One server, or a cluster. */
  nodes: 1 | 3;
  sync: NatsSync;
  /** Further lines of its configuration. */
  settings?: string;
}

/**
 * When entries reach the disk: "always" before each is acknowledged, or every 2 minutes (the
 * server's default), when a process may die but not the machine.
 */
export type NatsSync = "always" | "default";

/** Running servers that are one NATS. */
export interface Nats {
  /** "nats://127.0.0.1:4222", of a cluster several with commas. */
  readonly url: string;
  readonly nodes: readonly NatsNode[];
  stop(): Promise<void>;
}

/** One server of it. */
export interface NatsNode {
  readonly url: string;
  /** Of its monitor: /healthz, /varz. */
  readonly monitorUrl: string;
  readonly process: ServerProcess;
  /** Starts it again after it has ended, on its folder and ports. */
  restart(): Promise<void>;
}

interface Ports {
  client: number;
  monitor: number;
  cluster: number;
}

const readyMsMax = 30_000;
/** Of one message; ours are below 1,000,000 bytes with headers. */
const payloadBytesMax = 1_048_576;

/** Starts it. @throws with the log of what did not start. */
export async function startNats(options: NatsOptions): Promise<Nats> {
  const { nodes: count, folder, port, sync, settings = "" } = options;
  const free = await freePorts(3 * count);
  const ports = Array.from(
    { length: count },
    (_, i): Ports => ({
      client: (i === 0 && port) || free[3 * i]!,
      monitor: free[3 * i + 1]!,
      cluster: free[3 * i + 2]!,
    }),
  );
  const nodes = await Promise.all(
    ports.map((_, i) => startNode(i, ports, join(folder, `node-${i + 1}`), sync, settings)),
  );
  return {
    url: nodes.map(({ url }) => url).join(","),
    nodes,
    async stop() {
      await Promise.all(nodes.map((node) => node.process.stop()));
    },
  };
}

async function startNode(
  index: number,
  all: readonly Ports[],
  folder: string,
  sync: NatsSync,
  settings: string,
): Promise<NatsNode> {
  const { client, monitor } = all[index]!;
  const monitorUrl = `http://127.0.0.1:${monitor}`;
  mkdirSync(folder, { recursive: true });
  const configPath = join(folder, "nats.conf");
  writeFileSync(configPath, config(index, all, folder, sync) + settings);
  const start = () =>
    startServer({
      name: "nats",
      command: serverPrograms().nats,
      args: ["-c", configPath],
      folder,
      isReady: async () => (await fetch(`${monitorUrl}/healthz`)).ok,
      readyMsMax,
    });
  let process = await start();
  return {
    url: `nats://127.0.0.1:${client}`,
    monitorUrl,
    get process() {
      return process;
    },
    async restart() {
      process = await start();
    },
  };
}

function config(index: number, all: readonly Ports[], folder: string, sync: NatsSync): string {
  const { client, monitor, cluster } = all[index]!;
  const routes = all.map((ports) => `"nats://127.0.0.1:${ports.cluster}"`).join(", ");
  const clustered = `
cluster { name: parley, listen: "127.0.0.1:${cluster}", routes: [${routes}] }`;
  return `server_name: "nats-${index + 1}"
listen: "127.0.0.1:${client}"
http: "127.0.0.1:${monitor}"
max_payload: ${payloadBytesMax}
jetstream {
  store_dir: "${folder}"${sync === "always" ? "\n  sync_interval: always" : ""}
}${all.length > 1 ? clustered : ""}
`;
}
