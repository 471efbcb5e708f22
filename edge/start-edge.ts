/** The edge role, made from a runtime. */
import { sessionVerifier } from "../mesh/access-token-checks.ts";
import { parseConfig } from "../mesh/config.ts";
import { newInstanceId, type Runtime } from "../mesh/runtime.ts";
import type { Streams } from "../mesh/streams.ts";
import { createEdge, type Edge } from "./edge.ts";
import { edgeConfig } from "./edge-config.ts";
import { OtherEdges } from "./other-edges.ts";
import { LinkedPresenceReporter } from "./presence-reporter.ts";
import { SendLinks } from "./send-links.ts";

/** Under this name edges are registered. They serve no gRPC: the address is for clients. */
const edgeService = "parley.edge";

/** Starts an edge that accepts connections. `stop` drains it first. */
export async function startEdge(
  runtime: Runtime,
  streams: Streams,
): Promise<{ instanceId: string; url: string; stop(): Promise<void> }> {
  const { mesh, registry, clock, metrics, metadata } = runtime;
  const config = parseConfig(edgeConfig, runtime.environment);
  const log = runtime.log("edge");
  const instanceId = newInstanceId("edge");
  const presence = new LinkedPresenceReporter({
    mesh,
    edgeId: instanceId,
    listConnections: () => edge.listDevices(),
    clock,
    log,
  });
  const sends = new SendLinks(mesh, clock, log);
  const otherEdges = new OtherEdges(instanceId);
  const watch = registry.watch(edgeService, (instances) => otherEdges.update(instances));
  const edge: Edge = createEdge({
    instanceId,
    mesh,
    streams,
    verifier: sessionVerifier(mesh, clock),
    presence,
    sends,
    otherEdges,
    clock,
    config,
    log,
    metrics,
  });
  await edge.listen();
  presence.start();
  const { address } = edge;
  const registration = await registry.register({
    instanceId,
    service: edgeService,
    address,
    metadata,
  });
  return {
    instanceId,
    url: `http://${address.replace("0.0.0.0", "127.0.0.1")}`,
    async stop() {
      await registration.deregister();
      await edge.drain();
      watch.stop();
      presence.stop();
      sends.close();
      await edge.close();
    },
  };
}
