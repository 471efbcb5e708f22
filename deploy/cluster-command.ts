/** `parley cluster`: a cluster on this machine until a signal; its data stay. */
import { join, resolve } from "node:path";
import { z } from "zod";
import { defineConfig, parseConfig } from "../mesh/config.ts";
import { lockFolder } from "../mesh/folder-lock.ts";
import { untilSignal } from "../mesh/lifecycle.ts";
import { folderConfig } from "../mesh/process.ts";
import { startCluster } from "./cluster.ts";
import { provisionServers } from "./servers/provision.ts";

/** What can be chosen of it. */
export const clusterConfig = defineConfig({
  edgePort: {
    env: "PARLEY_EDGE_PORT",
    schema: z.coerce.number().int().min(0).max(65_534),
    default: "8080",
    unit: "TCP port",
    secret: false,
    description: "Where `parley cluster` starts its first edge; the second has the next port.",
  },
  natsNodes: {
    env: "PARLEY_CLUSTER_NATS_NODES",
    schema: z.enum(["1", "3"]).transform((text) => Number(text) as 1 | 3),
    default: "1",
    unit: "",
    secret: false,
    description: "NATS servers of `parley cluster`: 1, or 3 with three copies of every stream.",
  },
  natsSync: {
    env: "PARLEY_CLUSTER_NATS_SYNC",
    schema: z.enum(["default", "always"]),
    default: "default",
    unit: "",
    secret: false,
    description:
      "When its NATS writes to the disk: always before it acknowledges, or (default) every 2 min.",
  },
});

/** Runs until a signal. @returns the exit code. @throws ConfigError, FolderLocked */
export async function cluster(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const { edgePort, natsNodes, natsSync } = parseConfig(clusterConfig, environment);
  const folder = resolve(join(parseConfig(folderConfig, environment).dataDir, "cluster"));
  const lock = lockFolder(folder);
  try {
    await provisionServers((line) => console.error(line));
    console.error("starting four servers and twelve processes (about half a minute)…");
    const started = await startCluster({
      folder,
      natsNodes,
      sync: natsSync,
      edgePorts: edgePort === 0 ? [0, 0] : [edgePort, edgePort + 1],
      assignsEdges: true,
      environment,
      onLog: (line) => console.error(line),
    });
    const { PARLEY_CONSUL_URL: consulUrl } = started.environment;
    console.log(`Parley's cluster is ready: ${started.edgeUrls.join(" and ")} (WebSocket at /ws)
To see its instances: PARLEY_CONSUL_URL=${consulUrl} npm run --silent parley -- status`);
    await untilSignal();
    await started.stop();
    return 0;
  } finally {
    lock.release();
  }
}
