/**
 * The real servers, for the tests that need them: once for a run, in a folder that goes with it. Or
 * those that `parley servers` runs, where the environment has the settings that it prints.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ProvidedContext } from "vitest";
import type { TestProject } from "vitest/node";
import { parseConfig } from "../../mesh/config.ts";
import { serversConfig } from "../../servers-config.ts";
import { provisionServers } from "./provision.ts";
import { startServers } from "./servers.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Where they are. Files run at the same time: each uses a namespace of its own. */
    servers: {
      natsUrl: string;
      /** Of NATS' monitor: /varz. */
      natsMonitorUrl: string;
      consulUrl: string;
      cassandraAddress: string;
      postgresUrl: string;
      /** The settings that make Parley use them. */
      environment: Record<string, string>;
    };
  }
}

let end: (() => Promise<void>) | undefined;

/** Vitest calls it before the first test of each project; the first project's are for all. */
export async function setup(project: TestProject): Promise<void> {
  const run = project.vitest.getRootProject();
  if ("servers" in run.getProvidedContext()) return;
  if (process.env.PARLEY_CONSUL_URL) {
    run.provide("servers", running(process.env));
    return;
  }
  await provisionServers((line) => console.log(line));
  const folder = mkdtempSync(join(tmpdir(), "parley-servers-"));
  // PostgreSQL's user goes through it.
  chmodSync(folder, 0o711);
  const { nats, consul, cassandra, postgres, environment, stop } = await startServers({ folder });
  end = async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  };
  run.provide("servers", {
    natsUrl: nats.url,
    natsMonitorUrl: nats.nodes[0]!.monitorUrl,
    consulUrl: consul.url,
    cassandraAddress: cassandra.address,
    postgresUrl: postgres.url,
    environment,
  });
}

/** Servers that somebody else runs. @throws ConfigError */
function running(environment: NodeJS.ProcessEnv): ProvidedContext["servers"] {
  const secret = "the mesh of each test has its own";
  const servers = parseConfig(serversConfig, { PARLEY_MESH_SECRET: secret, ...environment });
  const settings = Object.entries(environment).filter(([name]) => name.startsWith("PARLEY_"));
  return {
    natsUrl: servers.natsUrls[0]!,
    natsMonitorUrl: servers.natsMonitorUrls[0]!,
    consulUrl: servers.consulUrl,
    cassandraAddress: servers.cassandraContactPoints[0]!,
    postgresUrl: servers.postgresUrl,
    environment: Object.fromEntries(settings) as Record<string, string>,
  };
}

/** And this after the last. */
export async function teardown(): Promise<void> {
  await end?.();
}
