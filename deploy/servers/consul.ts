import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "./ports.ts";
import { serverPrograms } from "./provision.ts";
import { type ServerProcess, startServer } from "./server-process.ts";

/** A running Consul. */
export interface Consul {
  /** "http://127.0.0.1:8500" */
  readonly url: string;
  readonly process: ServerProcess;
  /** Starts it again after it has ended, on its folder and ports. */
  restart(): Promise<void>;
}

const readyMsMax = 60_000;

/** Starts a server that keeps its data (`-dev` would forget them) and is a cluster by itself. */
export async function startConsul({
  folder,
  port,
}: {
  folder: string;
  port: number;
}): Promise<Consul> {
  const [free, server, serf] = await freePorts(3);
  const httpPort = port || free!;
  const url = `http://127.0.0.1:${httpPort}`;
  mkdirSync(folder, { recursive: true });
  const configPath = join(folder, "consul.json");
  const ports = {
    http: httpPort,
    server,
    serf_lan: serf,
    serf_wan: -1,
    dns: -1,
    grpc: -1,
    grpc_tls: -1,
  };
  const settings = {
    node_name: "parley",
    server: true,
    bootstrap_expect: 1,
    bind_addr: "127.0.0.1",
    client_addr: "127.0.0.1",
    data_dir: join(folder, "data"),
    disable_update_check: true,
    log_level: "WARN",
    // Elections of half a second instead of 5 s: there is nobody to wait for.
    performance: { raft_multiplier: 1 },
    // Thousands of blocking queries from one address are our own processes.
    limits: { http_max_conns_per_client: 1_000 },
    ports,
  };
  writeFileSync(configPath, JSON.stringify(settings, null, 2));
  const start = () =>
    startServer({
      name: "consul",
      command: serverPrograms().consul,
      args: ["agent", `-config-file=${configPath}`],
      folder,
      isReady: async () => (await (await fetch(`${url}/v1/status/leader`)).json()) !== "",
      readyMsMax,
      // SIGTERM would be a graceful leave, which is another thing than a restart.
      stopSignal: "SIGINT",
    });
  let process = await start();
  return {
    url,
    get process() {
      return process;
    },
    async restart() {
      process = await start();
    },
  };
}
