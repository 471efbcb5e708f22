/**
 * What every role of a process works with, and how roles are put on the mesh. A composition root
 * makes the runtime and picks the adapters that its roles need besides.
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { AccessTokenChecks, sessionVerifier } from "./access-token-checks.ts";
import type { Clock } from "./clock.ts";
import { defineConfig } from "./config.ts";
import type { DirectCalls } from "./dial.ts";
import { within } from "./lifecycle.ts";
import type { Logger } from "./logger.ts";
import type { Metrics } from "./metrics.ts";
import type { Instance, Registration, Registry } from "./registry.ts";
import type { Mesh } from "./rpc.ts";
import { type Served, serve } from "./serve.ts";
import type { Streams } from "./streams.ts";

/** Settings of a process that serves gRPC. */
export const grpcConfig = defineConfig({
  port: {
    env: "PARLEY_GRPC_PORT",
    schema: z.coerce.number().int().min(0).max(65_535),
    default: "0",
    unit: "TCP port",
    secret: false,
    description: "The services' port, for programs that call them over gRPC; 0: any free one.",
  },
});

/** The process around a role. */
export interface Runtime {
  /** Each role parses its own settings from it. */
  environment: Readonly<Record<string, string | undefined>>;
  clock: Clock;
  /** A logger for a role. */
  log(role: string): Logger;
  metrics: Metrics;
  registry: Registry;
  mesh: Mesh & DirectCalls;
  /** The secret that the processes of the mesh share. */
  meshSecret: string;
  /** What is said of every instance in this process: "metrics_url", "health_url". */
  metadata: Instance["metadata"];
}

/** A role that is ready to be served. */
export interface Role {
  /** Unique for the life of the process: "message-4f2a91c3". */
  instanceId: string;
  served: Served;
  /** Where ended sign-ins are read; set: devices may call the role with their own access tokens. */
  streams?: Streams;
  /** Called when the role is registered: others can reach it. */
  begin?(): Promise<void>;
  /** Called when nobody calls any more. */
  stop(): Promise<void>;
}

/** A name for an instance of a role. */
export function newInstanceId(role: string): string {
  return `${role}-${randomBytes(4).toString("hex")}`;
}

/** How long calls under way may take when the process ends. */
const drainMs = 3_000;
/** How long a start waits for ended sign-ins to be read. Tokens are refused until they are. */
const revocationsMs = 2_000;

/**
 * Serves roles on one address and registers them; port 0 takes any free one. `stop` takes them
 * off again, in reverse.
 */
export async function hostRoles(
  runtime: Runtime,
  roles: readonly Role[],
  host: string,
  port = 0,
): Promise<{ address: string; stop(): Promise<void> }> {
  const { clock, mesh, metrics, meshSecret, registry, metadata } = runtime;
  const log = runtime.log("mesh");
  const streams = roles.find((role) => role.streams)?.streams;
  const verifier = sessionVerifier(mesh, clock);
  const tokens = streams && new AccessTokenChecks({ verifier, streams, clock, log });
  if (tokens) await within(revocationsMs, tokens.start());
  const services = roles.map(({ served }) => served);
  const server = await serve({ host, port, services, meshSecret, tokens, clock, log, metrics });
  const registrations: Registration[] = [];
  for (const { instanceId, served } of roles) {
    const service = served.service.typeName;
    const { address } = server;
    registrations.push(await registry.register({ instanceId, service, address, metadata }));
  }
  for (const role of roles) await role.begin?.();
  return {
    address: server.address,
    async stop() {
      for (const registration of registrations) await registration.deregister();
      await server.drain(drainMs);
      tokens?.stop();
      for (const role of [...roles].reverse()) await role.stop();
    },
  };
}
