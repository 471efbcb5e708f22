/** What runs in a cluster, as its registry knows it. */
import { systemClock as clock } from "../mesh/clock.ts";
import { ConsulClient } from "../mesh/consul-client.ts";
import { silentLogger as log } from "../mesh/logger.ts";
import type { Instance } from "../mesh/registry.ts";
import { ConsulRegistry } from "../mesh/registry-consul.ts";

/** Looks instances up in Consul. */
export class Instances {
  private readonly registry: ConsulRegistry;

  constructor(consulUrl: string) {
    const consul = new ConsulClient({ url: consulUrl, token: "", clock });
    this.registry = new ConsulRegistry({ consul, clock, log });
  }

  /** Resolves with a service's healthy instances as soon as there are so many of them. */
  async find(
    service: string,
    count = 1,
    isWanted: (address: string) => boolean = () => true,
  ): Promise<Instance[]> {
    const { promise, resolve } = Promise.withResolvers<Instance[]>();
    const watch = this.registry.watch(service, (all) => {
      const found = all.filter(({ address }) => isWanted(address));
      if (found.length >= count) resolve(found);
    });
    try {
      return await promise;
    } finally {
      watch.stop();
    }
  }
}
