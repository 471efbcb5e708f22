import type { Registry, Watch } from "./registry.ts";
import { rendezvous } from "./rendezvous.ts";

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
