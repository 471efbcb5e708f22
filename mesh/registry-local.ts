import type { Instance, Registration, Registry, Watch } from "./registry.ts";

type OnChange = (instances: readonly Instance[]) => void;

interface Watcher {
  onChange: OnChange;
  /** The list that it was given last, as text. */
  told: string | undefined;
}

/** A registry within one process: an instance is healthy while it is registered. */
export class LocalRegistry implements Registry {
  private readonly instances = new Map<string, Map<string, Instance>>();
  private readonly watchers = new Map<string, Set<Watcher>>();

  async register(instance: Instance): Promise<Registration> {
    const { instanceId, service } = instance;
    const instances = this.ofService(service);
    instances.set(instanceId, instance);
    this.announce(service);
    return {
      update: async (metadata) => {
        if (!instances.has(instanceId)) return;
        instances.set(instanceId, { ...instance, metadata });
        this.announce(service);
      },
      deregister: async () => {
        if (instances.delete(instanceId)) this.announce(service);
      },
    };
  }

  watch(service: string, onChange: OnChange): Watch {
    let watchers = this.watchers.get(service);
    if (!watchers) {
      watchers = new Set();
      this.watchers.set(service, watchers);
    }
    const watcher: Watcher = { onChange, told: undefined };
    watchers.add(watcher);
    queueMicrotask(() => {
      if (watchers.has(watcher)) tell(watcher, [...this.ofService(service).values()]);
    });
    return { stop: () => void watchers.delete(watcher) };
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
    for (const watcher of this.watchers.get(service) ?? []) tell(watcher, instances);
  }
}

function tell(watcher: Watcher, instances: readonly Instance[]): void {
  const text = JSON.stringify(instances);
  if (watcher.told === text) return;
  watcher.told = text;
  watcher.onChange(instances);
}
