/** The services that an edge needs to hold idle connections, as far as it needs them for that. */
import { randomBytes } from "node:crypto";
import type { DescService } from "@bufbuild/protobuf";
import { MessageService } from "../gen/parley/message/v1/message_service_pb.js";
import { PresenceService } from "../gen/parley/presence/v1/presence_service_pb.js";
import { SessionService } from "../gen/parley/session/v1/session_service_pb.js";
import { systemClock } from "../mesh/clock.ts";
import { unavailable } from "../mesh/errors.ts";
import { createLogger } from "../mesh/logger.ts";
import { Metrics } from "../mesh/metrics.ts";
import type { Handlers } from "../mesh/rpc.ts";
import { serve, served } from "../mesh/serve.ts";
import type { EdgeStart } from "./edge-process.ts";
import type { LoadKey } from "./load-tokens.ts";

/** As Presence asks for by default. */
const beatIntervalMs = 2_500;

/** Serves them until the process ends. */
export async function serveStubs(key: LoadKey): Promise<EdgeStart> {
  const services = [
    stub(SessionService, { listSigningKeys: async () => ({ keys: [key] }) }),
    stub(MessageService, { markDelivered: async () => ({}) }),
    stub(PresenceService, {
      link: (stream) => {
        stream.onMessage = () => void stream.write({ beatIntervalMs });
      },
    }),
  ];
  const meshSecret = randomBytes(32).toString("base64url");
  const clock = systemClock;
  const log = createLogger("stub", "warn");
  const metrics = new Metrics();
  const { address } = await serve({
    host: "127.0.0.1",
    port: 0,
    services,
    meshSecret,
    clock,
    log,
    metrics,
  });
  const instances = services.map(({ service: { typeName: service } }) => ({
    instanceId: `${service}-stub`,
    service,
    address,
    metadata: {},
  }));
  return { meshSecret, instances };
}

/** A service that has only these methods. Other streams stay open and silent. */
function stub<S extends DescService>(service: S, handlers: Partial<Handlers<S>>) {
  const refuse = async () => {
    throw unavailable("not in this bench", 1_000);
  };
  const silence = () => {};
  const others = service.methods.map(({ localName, methodKind }) => {
    return [localName, methodKind === "unary" ? refuse : silence];
  });
  return served(service, { ...Object.fromEntries(others), ...handlers } as Handlers<S>, {});
}
