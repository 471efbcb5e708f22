/** The Presence role, made from a runtime. */
import { PresenceService } from "../../gen/parley/presence/v1/presence_service_pb.js";
import { parseConfig } from "../../mesh/config.ts";
import { newInstanceId, type Role, type Runtime } from "../../mesh/runtime.ts";
import { served } from "../../mesh/serve.ts";
import type { Streams } from "../../mesh/streams.ts";
import { presenceConfig } from "./presence-config.ts";
import { createPresenceService } from "./presence-service.ts";
import type { PresenceStore } from "./presence-store.ts";

/** Makes an instance of Presence. */
export function startPresence(runtime: Runtime, streams: Streams, store: PresenceStore): Role {
  const { mesh, registry, clock } = runtime;
  const instanceId = newInstanceId("presence");
  const service = createPresenceService({
    mesh,
    streams,
    registry,
    store,
    clock,
    config: parseConfig(presenceConfig, runtime.environment),
    log: runtime.log("presence"),
    metrics: runtime.metrics,
    callOwner: (owner, request, options) =>
      mesh.callInstance(owner, PresenceService.method.getOwnedPresence, request, options),
    instanceId,
  });
  return {
    instanceId,
    served: served(PresenceService, service.handlers, service.codes),
    streams,
    begin: async () => service.start(),
    stop: () => service.close(),
  };
}
