/** The Session role, made from a runtime. */
import { MessageService } from "../../gen/parley/message/v1/message_service_pb.js";
import { SessionService } from "../../gen/parley/session/v1/session_service_pb.js";
import { parseConfig } from "../../mesh/config.ts";
import { newInstanceId, type Role, type Runtime } from "../../mesh/runtime.ts";
import { served } from "../../mesh/serve.ts";
import type { Sql } from "../../mesh/sql.ts";
import type { Streams } from "../../mesh/streams.ts";
import { AssignableEdges } from "./assignable-edges.ts";
import { leaveGroups } from "./leave-groups.ts";
import { sessionConfig } from "./session-config.ts";
import { createSessionService } from "./session-service.ts";

/** Makes an instance of Session on a database. */
export async function startSession(runtime: Runtime, streams: Streams, sql: Sql): Promise<Role> {
  const { mesh, clock, registry } = runtime;
  const config = parseConfig(sessionConfig, runtime.environment);
  const log = runtime.log("session");
  const edges = new AssignableEdges(registry);
  const messages = mesh.client(MessageService);
  const service = await createSessionService({
    ...{ sql, streams, edges, clock, config, log },
    leaveGroups: (identity) => leaveGroups(messages, identity, clock),
  });
  return {
    instanceId: newInstanceId("session"),
    served: served(SessionService, service.handlers, service.codes),
    streams,
    async stop() {
      edges.close();
      await service.close();
    },
  };
}
