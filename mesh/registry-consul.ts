import type { Clock } from "./clock.ts";
import type { ConsulClient, ConsulService } from "./consul-client.ts";
import type { Logger } from "./logger.ts";
import type { Instance, Registration, Registry, Watch } from "./registry.ts";
import { ConsulRegistration, serviceIdOf } from "./registry-consul-registration.ts";
import { ServiceWatch } from "./registry-consul-watch.ts";

/** What a registry in Consul needs. */
export interface ConsulRegistryOptions {
  consul: ConsulClient;
  /** What the names of services begin with in Consul, to keep several meshes apart. Default: "". */
  servicePrefix?: string;
  clock: Clock;
  log: Logger;
  /** From 0 to below 1: spreads over time what many processes do. Default: Math.random. */
  random?(): number;
}

/**
 * The registry of all processes that use this Consul, through an agent that reaches them.
 *
 * An instance of a service with a Protobuf name is checked by gRPC at its address every second;
 * one whose metadata have a `health_url` by HTTP, healthy while the page answers 2xx; any other
 * is healthy while its process says so, every 3 s. Two failures in a row, or 10 s without a word,
 * make it unhealthy. After a minute of that Consul forgets it; the process registers it again
 * where it lives. Metadata are at most 64 values, keys of 128 characters of A-Z, a-z, 0-9, _ and
 * -, values of 512 characters: others are refused by `register`.
 *
 * Watches of one service share one query. They know what Consul's servers know, also without a
 * leader. After Consul was away what it no longer lists is believed gone only after 10 s.
 */
export class ConsulRegistry implements Registry {
  private readonly options: ConsulRegistryOptions;
  private readonly random: () => number;
  private readonly watches = new Map<string, ServiceWatch>();

  constructor(options: ConsulRegistryOptions) {
    this.options = options;
    this.random = options.random ?? Math.random;
  }

  register(instance: Instance): Promise<Registration> {
    const { consul, clock, log } = this.options;
    const name = this.nameOf(instance.service);
    return ConsulRegistration.open({ consul, instance, name, clock, log, random: this.random });
  }

  watch(service: string, onChange: (instances: readonly Instance[]) => void): Watch {
    let shared = this.watches.get(service);
    if (!shared) {
      shared = this.open(service);
      this.watches.set(service, shared);
    }
    const { stop } = shared.add(onChange);
    return {
      stop: () => {
        stop();
        if (!shared.isIdle) return;
        shared.stop();
        if (this.watches.get(service) === shared) this.watches.delete(service);
      },
    };
  }

  private open(service: string): ServiceWatch {
    const { consul, clock, log } = this.options;
    const name = this.nameOf(service);
    const idPrefix = serviceIdOf(name, "");
    const toInstance = ({ id, address, port, metadata }: ConsulService): Instance | undefined => {
      // Somebody else's service of that name.
      if (!id.startsWith(idPrefix)) return undefined;
      const host = address.includes(":") ? `[${address}]` : address;
      const instanceId = id.slice(idPrefix.length);
      return { instanceId, service, address: `${host}:${port}`, metadata };
    };
    return new ServiceWatch({ consul, name, toInstance, clock, log, random: this.random });
  }

  private nameOf(service: string): string {
    return `${this.options.servicePrefix ?? ""}${service}`;
  }
}
