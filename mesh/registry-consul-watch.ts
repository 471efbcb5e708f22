/**
 * Follows the healthy instances of one service by blocking queries, for all who watch it in this
 * process.
 *
 * What is known stands while Consul is away. When Consul is back, or knows less than before (its
 * index has gone backwards), its first answers may be those of one that has forgotten: for a while
 * what it adds is believed, what it lacks is not, until everybody has registered again and has
 * been checked.
 */
import { type Clock, sleep } from "./clock.ts";
import type { ConsulClient, ConsulService } from "./consul-client.ts";
import type { Logger } from "./logger.ts";
import type { Instance, Watch } from "./registry.ts";

/** What a watch needs. */
export interface ServiceWatchOptions {
  consul: Pick<ConsulClient, "healthyServices">;
  /** The service's name in Consul. */
  name: string;
  /** Undefined: no instance of ours. */
  toInstance(service: ConsulService): Instance | undefined;
  clock: Clock;
  log: Logger;
  /** From 0 to below 1. */
  random(): number;
}

/** A query waits so long for a change; a connection that died is noticed after that. */
const waitMs = 30_000;
/** No wait is shorter: 0 would be Consul's default. */
const waitMsMin = 1_000;
/** The pause after each answer, up to twice that: a service that changes all the time. */
const pauseMs = 50;
/** The pause after a failure; it doubles up to the maximum. Half of it is chance. */
const retryMs = 100;
const retryMsMax = 2_000;
/** How long removals are not believed. Registrations are looked after every 3 s. */
const doubtMs = 10_000;

type OnChange = (instances: readonly Instance[]) => void;

/** Runs from its making until `stop`. */
export class ServiceWatch {
  private readonly options: ServiceWatchOptions;
  private readonly controller = new AbortController();
  /** With the text of the list that each was told last. */
  private readonly watchers = new Map<symbol, { onChange: OnChange; told?: string }>();
  private known: { instances: readonly Instance[]; text: string } | undefined;
  private doubtUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: ServiceWatchOptions) {
    this.options = options;
    void this.run().catch(() => {});
  }

  /** Whether nobody watches. */
  get isIdle(): boolean {
    return this.watchers.size === 0;
  }

  /** As `Registry.watch`. */
  add(onChange: OnChange): Watch {
    const watcher = Symbol();
    this.watchers.set(watcher, { onChange });
    this.tell(watcher);
    return { stop: () => void this.watchers.delete(watcher) };
  }

  /** Ends it for everybody. */
  stop(): void {
    this.controller.abort();
    this.watchers.clear();
  }

  /** Rejects when stopped. */
  private async run(): Promise<never> {
    const { consul, name, clock, log, random } = this.options;
    const { signal } = this.controller;
    let index = 0;
    let failures = 0;
    for (;;) {
      let pause = pauseMs * (1 + random());
      try {
        const query = { index, waitMs: this.nextWaitMs(), signal };
        const answer = await consul.healthyServices(name, query);
        if (failures > 0) log.warn({ event: "consul_watch_resumed", service: name, failures });
        const isBehind = answer.index < index;
        if (isBehind || failures > 0) this.doubtUntilMs = clock.monotonicMs() + doubtMs;
        failures = 0;
        // A lower index is none to go on from.
        index = isBehind ? 0 : answer.index;
        // The next query will not wait.
        if (index === 0) pause = waitMsMin;
        this.update(answer.services);
      } catch (err) {
        signal.throwIfAborted();
        if (failures === 0) log.warn({ event: "consul_watch_failed", service: name, err });
        const ceilingMs = Math.min(retryMsMax, retryMs * 2 ** Math.min(failures, 10));
        pause = (ceilingMs * (1 + random())) / 2;
        failures++;
        // One that has forgotten would wait for its index to come up to ours.
        index = 0;
      }
      await sleep(clock, pause, signal);
    }
  }

  /** No longer than there is doubt, as an end of doubt is a change that Consul does not see. */
  private nextWaitMs(): number {
    const doubtLeftMs = this.doubtUntilMs - this.options.clock.monotonicMs();
    if (doubtLeftMs <= 0) return waitMs;
    return Math.max(waitMsMin, Math.min(waitMs, doubtLeftMs));
  }

  private update(services: readonly ConsulService[]): void {
    const { clock, toInstance } = this.options;
    const answered = services.map(toInstance).filter((instance) => instance !== undefined);
    const instances = new Map(answered.map((instance) => [instance.instanceId, instance]));
    if (clock.monotonicMs() < this.doubtUntilMs) {
      for (const instance of this.known?.instances ?? []) {
        if (!instances.has(instance.instanceId)) instances.set(instance.instanceId, instance);
      }
    }
    const sorted = [...instances.values()].sort((a, b) => (a.instanceId < b.instanceId ? -1 : 1));
    this.known = { instances: sorted, text: JSON.stringify(sorted) };
    for (const watcher of this.watchers.keys()) this.tell(watcher);
  }

  /** In a turn of its own, so that what a watcher throws is no failure of Consul's. */
  private tell(watcher: symbol): void {
    queueMicrotask(() => {
      const { known } = this;
      const entry = this.watchers.get(watcher);
      if (!known || !entry || entry.told === known.text) return;
      entry.told = known.text;
      entry.onChange(known.instances);
    });
  }
}
