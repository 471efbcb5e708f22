/** One instance in Consul: registers it and sees to it that it stays so until withdrawn. */
import { type Clock, sleep } from "./clock.ts";
import type { ConsulClient, ConsulServiceDefinition } from "./consul-client.ts";
import type { Logger } from "./logger.ts";
import type { Instance, Registration } from "./registry.ts";

/** Under this key of its metadata an instance that serves no gRPC may name its health page. */
export const healthUrlKey = "health_url";

/** What a registration needs. */
export interface ConsulRegistrationOptions {
  consul: Pick<ConsulClient, "registerService" | "deregisterService" | "hasService" | "passCheck">;
  instance: Instance;
  /** The service's name in Consul. */
  name: string;
  clock: Clock;
  log: Logger;
  /** From 0 to below 1. */
  random(): number;
}

/** How often an instance is checked, and how long an answer may take. */
const check = { Interval: "1s", Timeout: "2s" };
/** So many failures in a row make an instance unhealthy: one may be a pause. */
const failuresMax = 2;
/** An instance that does not say in this time that it lives is unhealthy. */
const ttl = "10s";
/** Consul forgets an instance that has been unhealthy so long: its least. */
const forgetAfter = "1m";
/** How often it is made sure that the agent knows the instance; a fifth of it is chance. */
const beatMs = 3_000;
/** Attempts to withdraw an offer; after them its checks fail, which takes 2 s. */
const withdrawalsMax = 2;

/** The id of an instance in Consul: unique there, whatever services a process offers. */
export function serviceIdOf(name: string, instanceId: string): string {
  return `${name}:${instanceId}`;
}

/** A registered instance. */
export class ConsulRegistration implements Registration {
  private readonly options: ConsulRegistrationOptions;
  private definition: ConsulServiceDefinition;
  private readonly controller = new AbortController();
  private readonly beating: Promise<void>;
  private updating = Promise.resolve();
  private ending: Promise<void> | undefined;

  /** @throws ConsulError */
  static async open(options: ConsulRegistrationOptions): Promise<ConsulRegistration> {
    const definition = definitionOf(options.name, options.instance);
    await options.consul.registerService(definition);
    return new ConsulRegistration(options, definition);
  }

  private constructor(options: ConsulRegistrationOptions, definition: ConsulServiceDefinition) {
    this.options = options;
    this.definition = definition;
    this.beating = this.beat().catch(() => {});
  }

  /** The agent keeps what its checks have found. */
  async update(metadata: Instance["metadata"]): Promise<void> {
    const updated = { ...this.definition, Meta: metadata };
    const { signal } = this.controller;
    if (signal.aborted) return;
    this.updating = this.options.consul.registerService(updated);
    await this.updating;
    this.definition = updated;
  }

  deregister(): Promise<void> {
    this.ending ??= this.end();
    return this.ending;
  }

  private async end(): Promise<void> {
    const { consul, log } = this.options;
    const { ID: id } = this.definition;
    this.controller.abort();
    // It might be registering again just now.
    await this.beating;
    await this.updating.catch(() => {});
    for (let attempt = 1; attempt <= withdrawalsMax; attempt++) {
      try {
        return await consul.deregisterService(id);
      } catch (err) {
        log.warn({ event: "instance_not_deregistered", id, attempt, err });
      }
    }
  }

  /** Rejects when stopped. An agent that has lost its data is told again. */
  private async beat(): Promise<never> {
    const { consul, clock, log, random } = this.options;
    const { signal } = this.controller;
    const { ID: id } = this.definition;
    let failures = 0;
    for (;;) {
      await sleep(clock, beatMs * (0.9 + random() / 5), signal);
      try {
        if (!(await this.isKnown())) {
          await consul.registerService(this.definition);
          log.warn({ event: "instance_registered_again", id });
        }
        failures = 0;
      } catch (err) {
        if (failures++ === 0) log.warn({ event: "consul_away", id, err });
      }
    }
  }

  private isKnown(): Promise<boolean> {
    const { consul } = this.options;
    const { ID: id, Checks } = this.definition;
    return "TTL" in Checks[0]! ? consul.passCheck(checkIdOf(id)) : consul.hasService(id);
  }
}

function definitionOf(name: string, instance: Instance): ConsulServiceDefinition {
  const { instanceId, address, metadata } = instance;
  const { hostname, port } = new URL(`tcp://${address}`);
  const id = serviceIdOf(name, instanceId);
  return {
    ID: id,
    Name: name,
    Address: hostname.replace(/^\[|\]$/g, ""),
    Port: Number(port),
    Meta: metadata,
    Checks: [
      {
        CheckID: checkIdOf(id),
        Name: "health",
        DeregisterCriticalServiceAfter: forgetAfter,
        ...healthCheckOf(instance),
      },
    ],
  };
}

function checkIdOf(serviceId: string): string {
  return `${serviceId}:health`;
}

/**
 * The agent itself asks: a process that hangs does not answer. Only an instance that serves no
 * gRPC and names no health page has to say by itself that it lives.
 */
function healthCheckOf({ service, address, metadata }: Instance): Record<string, string | number> {
  const asked = { ...check, FailuresBeforeCritical: failuresMax };
  if (isProtobufName(service)) return { GRPC: `${address}/${service}`, ...asked };
  const healthUrl = metadata[healthUrlKey];
  if (healthUrl !== undefined) return { HTTP: healthUrl, ...asked };
  return { TTL: ttl, Status: "passing" };
}

/** "parley.message.v1.MessageService", not "parley.edge". */
function isProtobufName(service: string): boolean {
  return /\.[A-Z]\w*$/.test(service);
}
