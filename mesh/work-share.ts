import type { Registry, Watch } from "./registry.ts";
import { rendezvous } from "./rendezvous.ts";
import { newInstanceId, type Runtime } from "./runtime.ts";
import type { Running } from "./streams.ts";

/** Which of several processes that can do the same work does which part of it. */
export class WorkShare {
  private readonly instanceId: string;
  private readonly watch: Watch;
  private instanceIds: readonly string[];

  /** @param service under which all of them are registered */
  constructor(registry: Registry, service: string, instanceId: string) {
    this.instanceId = instanceId;
    this.instanceIds = [instanceId];
    this.watch = registry.watch(service, (instances) => {
      const others = instances.map((each) => each.instanceId).filter((id) => id !== instanceId);
      this.instanceIds = [...others, instanceId];
    });
  }

  /** Whether this process is the one for the part, as far as it knows the others. */
  isOurs(part: string): boolean {
    return rendezvous(part, this.instanceIds) === this.instanceId;
  }

  /** Follows the registry no more. */
  stop(): void {
    this.watch.stop();
  }
}

/** Work that this process shares with others. */
export interface StartedWork {
  instanceId: string;
  stop(): Promise<void>;
}

/**
 * Starts work of which each process of a role does its share. It serves no gRPC: the role is
 * registered as "parley.<role>", without an address.
 */
export async function shareWork(
  { registry, metadata }: Pick<Runtime, "registry" | "metadata">,
  role: string,
  start: (isOurs: (part: string) => boolean) => Running,
): Promise<StartedWork> {
  const instanceId = newInstanceId(role);
  const service = `parley.${role}`;
  const share = new WorkShare(registry, service, instanceId);
  const work = start((part) => share.isOurs(part));
  const registration = await registry.register({ instanceId, service, address: "", metadata });
  return {
    instanceId,
    async stop() {
      await registration.deregister();
      await work.stop();
      share.stop();
    },
  };
}
