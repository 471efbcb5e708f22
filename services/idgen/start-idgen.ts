/** The IdGen role, made from a runtime. */
import { IdGenService } from "../../gen/parley/idgen/v1/idgen_service_pb.js";
import { parseConfig } from "../../mesh/config.ts";
import type { Leases } from "../../mesh/leases.ts";
import { newInstanceId, type Role, type Runtime } from "../../mesh/runtime.ts";
import { served } from "../../mesh/serve.ts";
import { idgenConfig } from "./idgen-config.ts";
import { createIdGenService } from "./idgen-service.ts";

/** Makes an instance of IdGen that holds a worker id. */
export async function startIdGen(runtime: Runtime, leases: Leases): Promise<Role> {
  const { clock } = runtime;
  const config = parseConfig(idgenConfig, runtime.environment);
  const log = runtime.log("idgen");
  const service = createIdGenService({ leases, clock, config, log });
  await service.start();
  return {
    instanceId: newInstanceId("idgen"),
    served: served(IdGenService, service.handlers, service.codes),
    stop: () => service.close(),
  };
}
