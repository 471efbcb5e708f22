import type { Instance, Registration, Registry, Watch } from "./registry.ts";

/** A registry within one process: an instance is healthy while it is registered. */
export class LocalRegistry implements Registry {
  private readonly instances = new Map<string, Map<string, Instance>>();
  private readonly watchers = new Map<string, Set<(instances: readonly Instance[]) => void>>();

  async register(instance: Instance): Promise<Registration> {
    this.ofService(instance.service).set(instance.instanceId, instance);
    this.announce(instance.service);
    return {
      deregister: async () => {
        if (this.ofService(instance.service).delete(instance.instanceId)) {
          this.announce(instance.service);
        }
      },
    };
  }

  watch(service: string, onChange: (instances: readonly Instance[]) => void): Watch {
    let watchers = this.watchers.get(service);
    if (!watchers) {
      watchers = new Set();
      this.watchers.set(service, watchers);
    }
    watchers.add(onChange);
    queueMicrotask(() => {
      if (watchers.has(onChange)) onChange([...this.ofService(service).values()]);
    });
    return { stop: () => void watchers.delete(onChange) };
  }

  private ofService(service: string): Map<string, Instance> {
    let instances = this.instances.get(service);
    if (!instances) {
      instances = new Map();
      this.instances.set(service, instances);
    }
    return instances;
  }

  private announce(service: string): void {
    const instances = [...this.ofService(service).values()];
    for (const onChange of this.watchers.get(service) ?? []) onChange(instances);
  }
}
