/** nginx as the balancer in front of edges, which keeps each client address on one of them. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { freePorts, isListening } from "./ports.ts";
import { makeOnce, programsFolder, tool } from "./provision.ts";
import { type ServerProcess, startServer } from "./server-process.ts";

/** A running balancer. */
export interface Nginx {
  /** "http://127.0.0.1:41234" */
  readonly url: string;
  /** A line for each request that is over: the client's address, and the edge's. */
  readonly accessLog: string;
  readonly process: ServerProcess;
}

/** How it is started. */
export interface NginxOptions {
  folder: string;
  /** The edges: "127.0.0.1:8080". */
  edges: readonly string[];
  /** A header in which whoever is before it says where a client is; for tests. */
  clientHeader: string;
}

const readyMsMax = 20_000;

/** Unpacks Debian's package where there is no nginx; nothing of it is installed. */
export async function provisionNginx(report: (line: string) => void): Promise<string> {
  const inPath = (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, "nginx"))
    .find(existsSync);
  if (inPath) return inPath;
  const folder = join(programsFolder(), "nginx-debian");
  await makeOnce(folder, "fetching nginx (once, a few seconds)", unpackNginx, report);
  return join(folder, "usr", "sbin", "nginx");
}

async function unpackNginx(to: string): Promise<void> {
  mkdirSync(to, { recursive: true });
  const fetch = () => tool("apt-get", ["download", "nginx"], {}, to);
  // Its lists of packages may be missing, or older than the mirror's.
  await fetch().catch(async () => {
    await tool("apt-get", ["update"]);
    await fetch();
  });
  const name = readdirSync(to).find((each) => each.endsWith(".deb"))!;
  await tool("dpkg-deb", ["-x", join(to, name), to]);
}

/** Starts one on a free port. */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  const { folder } = options;
  const command = await provisionNginx(console.error);
  const [port] = await freePorts(1);
  mkdirSync(folder, { recursive: true });
  const config = join(folder, "nginx.conf");
  const accessLog = join(folder, "access.log");
  writeFileSync(config, nginxConfig({ ...options, port: port!, accessLog }));
  const server = await startServer({
    name: "nginx",
    command,
    args: ["-p", folder, "-c", config, "-e", "stderr"],
    folder,
    isReady: () => isListening(port!),
    readyMsMax,
    stopSignal: "SIGTERM",
  });
  return { url: `http://127.0.0.1:${port}`, accessLog, process: server };
}

/** What docs/OPERATIONS.md advises, and what a machine of its own would not need. */
function nginxConfig(options: NginxOptions & { port: number; accessLog: string }): string {
  const { edges, port, folder, accessLog, clientHeader } = options;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `  ${name}_temp_path ${join(folder, name)};`)
    .join("\n");
  return `
daemon off;
${process.getuid?.() === 0 ? "user root;" : ""}
pid ${join(folder, "nginx.pid")};
worker_processes 1;
events { worker_connections 4096; }
http {
${temporary}
  log_format edges "$remote_addr $upstream_addr $uri";
  access_log ${accessLog} edges;
  set_real_ip_from 127.0.0.1;
  real_ip_header ${clientHeader};

  upstream edges {
    ip_hash;
${edges.map((address) => `    server ${address};`).join("\n")}
  }
  map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
  server {
    listen 127.0.0.1:${port};
    client_max_body_size 2m;
    location / {
      proxy_pass http://edges;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_read_timeout 75s;
    }
  }
}
`;
}
