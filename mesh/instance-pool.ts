/**
 * The instances of one service, as the registry last told, each with its connection and its
 * breaker. A connection is opened when it is first used.
 */
import * as grpc from "@grpc/grpc-js";
import {
  type CircuitBreakerPolicy,
  ConsecutiveBreaker,
  circuitBreaker,
  handleWhen,
} from "cockatiel";
import type { Clock } from "./clock.ts";
import { Code, RpcError } from "./errors.ts";
import type { Instance, Registry, Watch } from "./registry.ts";
import { rendezvous } from "./rendezvous.ts";

/** How long an instance that keeps failing is not asked. */
export const breakMs = 1_000;
/** Consecutive failures that make it so. */
const failuresMax = 5;

/** One instance: its connection and its breaker. */
export interface InstanceLink {
  instanceId: string;
  address: string;
  client: grpc.Client;
  breaker: CircuitBreakerPolicy;
}

/** One service's instances. */
export class InstancePool {
  instanceIds: readonly string[] = [];
  /** Whether the registry has answered yet. */
  known = false;
  private readonly links = new Map<string, InstanceLink>();
  private readonly watch: Watch;
  private readonly watchers: ((instanceIds: readonly string[]) => void)[] = [];
  private readonly onFirst: (() => void)[] = [];
  private turn = 0;

  constructor(service: string, registry: Registry) {
    this.watch = registry.watch(service, (instances) => this.update(instances));
  }

  get(instanceId: string): InstanceLink | undefined {
    return this.links.get(instanceId);
  }

  /** By the key where there is one, else in turn; one that has not failed if there is one. */
  pick(routeKey: string | undefined, failed: ReadonlySet<string>): InstanceLink | undefined {
    const others = failed.size
      ? this.instanceIds.filter((id) => !failed.has(id))
      : this.instanceIds;
    const candidates = others.length ? others : this.instanceIds;
    const instanceId = routeKey
      ? rendezvous(routeKey, candidates)
      : candidates[this.turn++ % candidates.length];
    return instanceId === undefined ? undefined : this.links.get(instanceId);
  }

  /** Resolves with the registry's first answer, or after `timeoutMs` without one. */
  whenKnown(timeoutMs: number, clock: Clock): Promise<void> {
    return new Promise((resolve) => {
      const timer = clock.setTimer(timeoutMs, resolve);
      this.onFirst.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  onChange(watcher: (instanceIds: readonly string[]) => void): void {
    this.watchers.push(watcher);
    queueMicrotask(() => watcher(this.instanceIds));
  }

  close(): void {
    this.watch.stop();
    for (const link of this.links.values()) link.client.close();
    this.links.clear();
    this.instanceIds = [];
  }

  private update(instances: readonly Instance[]): void {
    const present = new Map(instances.map((instance) => [instance.instanceId, instance]));
    for (const [instanceId, link] of this.links) {
      if (present.get(instanceId)?.address === link.address) continue;
      link.client.close();
      this.links.delete(instanceId);
    }
    for (const { instanceId, address } of instances) {
      if (!this.links.has(instanceId)) this.links.set(instanceId, connect(instanceId, address));
    }
    this.instanceIds = [...this.links.keys()].sort();
    this.known = true;
    for (const callback of this.onFirst.splice(0)) callback();
    for (const watcher of this.watchers) watcher(this.instanceIds);
  }
}

const channelOptions: grpc.ChannelOptions = {
  // Retries are made here, where another instance can be picked.
  "grpc.enable_retries": 0,
  // An instance that is cut off is noticed before most deadlines.
  "grpc.keepalive_time_ms": 5_000,
  "grpc.keepalive_timeout_ms": 3_000,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
  "grpc.max_receive_message_length": 4 * 1024 * 1024,
  "grpc.max_send_message_length": 4 * 1024 * 1024,
  "grpc-node.flow_control_window": 1024 * 1024,
};

function connect(instanceId: string, address: string): InstanceLink {
  // An instance that says itself that something it needs is away is not what keeps failing.
  const isFailure = (error: unknown) =>
    error instanceof RpcError &&
    (error.reason === "UNREACHABLE" || error.code === Code.DEADLINE_EXCEEDED);
  return {
    instanceId,
    address,
    client: new grpc.Client(address, grpc.credentials.createInsecure(), channelOptions),
    breaker: circuitBreaker(handleWhen(isFailure), {
      halfOpenAfter: breakMs,
      breaker: new ConsecutiveBreaker(failuresMax),
    }),
  };
}
