/** `parley servers`: the four servers on this machine until a signal; their data stay. */
import { join, resolve } from "node:path";
import { z } from "zod";
import { defineConfig, parseConfig } from "../../mesh/config.ts";
import { lockFolder } from "../../mesh/folder-lock.ts";
import { untilSignal } from "../../mesh/lifecycle.ts";
import { folderConfig } from "../../mesh/process.ts";
import { provisionServers } from "./provision.ts";
import { startServers } from "./servers.ts";

const port = (env: string, usual: string, of: string) =>
  ({
    env,
    schema: z.coerce.number().int().min(0).max(65_535),
    default: usual,
    unit: "TCP port",
    secret: false,
    description: `${of}; 0: any free port.`,
  }) as const;

/** Where the servers listen. */
export const serverPortsConfig = defineConfig({
  nats: port("PARLEY_NATS_PORT", "4222", "Where `parley servers` starts NATS"),
  consul: port("PARLEY_CONSUL_PORT", "8500", "Where `parley servers` starts Consul"),
  cassandra: port("PARLEY_CASSANDRA_PORT", "9042", "Where `parley servers` starts Cassandra"),
  postgres: port("PARLEY_POSTGRES_PORT", "5432", "Where `parley servers` starts PostgreSQL"),
});

/** Runs until a signal. @returns the exit code. @throws ConfigError, FolderLocked */
export async function servers(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const ports = parseConfig(serverPortsConfig, environment);
  const folder = resolve(join(parseConfig(folderConfig, environment).dataDir, "servers"));
  const lock = lockFolder(folder);
  try {
    await provisionServers((line) => console.error(line));
    console.error("starting Consul, NATS, Cassandra and PostgreSQL (about 20 s)…");
    const started = await startServers({ folder, ports });
    const settings = Object.entries(started.environment).map(([name, value]) => `${name}=${value}`);
    console.log(`The servers are ready; roles find them with\n  ${settings.join("\n  ")}`);
    await untilSignal();
    await started.stop();
    return 0;
  } finally {
    lock.release();
  }
}
