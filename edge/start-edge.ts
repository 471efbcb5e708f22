/** The edge role, made from a runtime. */
import { sessionVerifier } from "../mesh/access-token-checks.ts";
import { parseConfig } from "../mesh/config.ts";
import { edgeService } from "../mesh/edge-offer.ts";
import { newInstanceId, type Runtime } from "../mesh/runtime.ts";
import type { Streams } from "../mesh/streams.ts";
import { createEdge, type Edge } from "./edge.ts";
import { edgeConfig } from "./edge-config.ts";
import { EdgeLoad, LoadReports } from "./edge-load.ts";
import { OtherEdges } from "./other-edges.ts";
import { LinkedPresenceReporter } from "./presence-reporter.ts";
import { SendLinks } from "./send-links.ts";

/** Starts an edge that accepts connections. `stop` drains it first. */
export async function startEdge(
  runtime: Runtime,
  streams: Streams,
): Promise<{ instanceId: string; url: string; stop(): Promise<void> }> {
  const { mesh, meshSecret, registry, clock, metrics, metadata } = runtime;
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
  const otherEdges = new OtherEdges({ instanceId, ...config });
  const watch = registry.watch(edgeService, (instances) => otherEdges.update(instances));
  const edge: Edge = createEdge({
    instanceId,
    mesh,
    meshSecret,
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
  const load = new EdgeLoad(edge, config);
  const instance = { instanceId, service: edgeService, address };
  const registration = await registry.register({
    ...instance,
    metadata: { ...metadata, ...load.offer() },
  });
  const reports = new LoadReports({
    load,
    publish: (offer) => registration.update({ ...metadata, ...offer }),
    clock,
    log,
  });
  return {
    instanceId,
    url: `http://${address.replace("0.0.0.0", "127.0.0.1")}`,
    async stop() {
      reports.stop();
      await registration.deregister();
      await edge.drain();
      watch.stop();
      presence.stop();
      sends.close();
      await edge.close();
    },
  };
}
