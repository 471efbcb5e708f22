/** The real servers, for the tests that need them: once for a run, in a folder that goes with it. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
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

/** And this after the last. */
export async function teardown(): Promise<void> {
  await end?.();
}
