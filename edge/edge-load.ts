/**
 * What an edge tells the registry of itself, so that clients are sent where there is room. Each
 * change is a write of Consul's that every edge and every Session is told of: so only what makes a
 * difference is told, and not more often than every few seconds.
 */
import { type EventLoopUtilization, performance } from "node:perf_hooks";
import { type Clock, sleep } from "../mesh/clock.ts";
import { offerMetadata } from "../mesh/edge-offer.ts";
import type { Logger } from "../mesh/logger.ts";
import type { Instance } from "../mesh/registry.ts";
import type { EdgeConfig } from "./edge-config.ts";

/** How often it is looked, and told at most. */
export const reportMs = 5_000;
/** A load that has moved less makes no difference. */
const changeMin = 0.05;
/** However busy its event loop is, only an edge without places is full. */
const busyMax = 0.95;
/** What the last interval counts for: one busy moment is no load. */
const newShare = 0.5;

/** Measures one edge. */
export class EdgeLoad {
  private readonly edge: { readonly connectionCount: number };
  private readonly config: Pick<EdgeConfig, "publicUrl" | "region" | "connectionsMax">;
  private readonly readUtilization: () => EventLoopUtilization;
  private before: EventLoopUtilization;
  private busy = 0;

  /** @param readUtilization of the event loop since its start */
  constructor(
    edge: EdgeLoad["edge"],
    config: EdgeLoad["config"],
    readUtilization: () => EventLoopUtilization = performance.eventLoopUtilization,
  ) {
    this.edge = edge;
    this.config = config;
    this.readUtilization = readUtilization;
    this.before = readUtilization();
  }

  /** Looks how busy the event loop has been since the last look. */
  measure(): void {
    const { active, idle } = this.readUtilization();
    const activeMs = active - this.before.active;
    const wholeMs = activeMs + idle - this.before.idle;
    this.before = { active, idle, utilization: 0 };
    if (wholeMs > 0) this.busy += newShare * (activeMs / wholeMs - this.busy);
  }

  /** 0 to 1: the greater of the share of connections that is taken and that of the event loop. */
  get load(): number {
    const { connectionsMax } = this.config;
    return Math.min(
      1,
      Math.max(this.edge.connectionCount / connectionsMax, Math.min(busyMax, this.busy)),
    );
  }

  /** For the registry; undefined: clients are not sent here. */
  offer(): Instance["metadata"] | undefined {
    const { publicUrl: url, region, connectionsMax } = this.config;
    if (url === "") return undefined;
    return offerMetadata({ url, region, connectionsMax, load: this.load });
  }
}

/** What reports are made with. */
export interface LoadReportsOptions {
  load: EdgeLoad;
  /** Tells the registry. @throws when that is away */
  publish(offer: Instance["metadata"]): Promise<void>;
  clock: Clock;
  log: Logger;
}

/** Tells the registry of a load that has changed, until stopped. */
export class LoadReports {
  private readonly options: LoadReportsOptions;
  private readonly stopping = new AbortController();
  private toldLoad: number;

  /** What is told at the registration needs no report. */
  constructor(options: LoadReportsOptions) {
    this.options = options;
    this.toldLoad = options.load.load;
    if (options.load.offer()) void this.run().catch(() => {});
  }

  /** Nothing is told any more. */
  stop(): void {
    this.stopping.abort();
  }

  /** Rejects when stopped. */
  private async run(): Promise<never> {
    const { load, publish, clock, log } = this.options;
    for (;;) {
      await sleep(clock, reportMs, this.stopping.signal);
      load.measure();
      const now = load.load;
      const isMaterial = Math.abs(now - this.toldLoad) >= changeMin;
      const turnsFull = (now === 1) !== (this.toldLoad === 1);
      if (!isMaterial && !turnsFull) continue;
      try {
        await publish(load.offer()!);
        this.toldLoad = now;
      } catch (err) {
        log.debug({ event: "load_not_told", err });
      }
    }
  }
}
