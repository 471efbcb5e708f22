/**
 * Keeps one worker id leased. The id may be used until the lease's end by the monotonic clock
 * less a margin, whatever the lease store and the wall clock do; a lost one is replaced.
 */
import type { Clock, Timer } from "../../mesh/clock.ts";
import { type Lease, LeaseLost, type Leases } from "../../mesh/leases.ts";
import type { Logger } from "../../mesh/logger.ts";
import { type SnowflakeGenerator, workersMax } from "./snowflake.ts";

/** What holding a worker id needs. */
export interface WorkerLeaseOptions {
  leases: Leases;
  /** How long a lease to ask for. */
  leaseMs: number;
  generator: SnowflakeGenerator;
  clock: Clock;
  log: Logger;
}

/** The pause after the lease store has failed. */
const retryMs = 2_000;
/** The share of a lease that is used: the rest is for clocks that run at different rates. */
const usedShare = 0.95;
/** The share of a lease after which it is renewed. */
const renewShare = 1 / 3;
/** Renewals are no closer than this. */
const renewMinMs = 1_000;

/** A worker id, held from `start` to `close`. */
export class WorkerLease {
  private readonly options: WorkerLeaseOptions;
  private lease: Lease | undefined;
  private usableUntilMs = 0;
  private timer: Timer | undefined;
  private working: Promise<void> | undefined;
  private retrying = false;
  private closed = false;
  private onFirst: () => void = () => {};

  constructor(options: WorkerLeaseOptions) {
    this.options = options;
  }

  /** Takes a worker id, trying until there is one. Resolves then, or when closed. */
  start(): Promise<void> {
    return new Promise((resolve) => {
      this.onFirst = resolve;
      this.work();
    });
  }

  /** Whether ids up to the time `timeMs` may be made now. If not, what it takes is under way. */
  covers(timeMs: number): boolean {
    if (!this.lease || this.options.clock.monotonicMs() >= this.usableUntilMs) return false;
    if (timeMs <= this.lease.expireTimeMs) return true;
    // The clock has jumped past the lease: a new mark first.
    if (!this.retrying) this.work();
    return false;
  }

  /** Gives the worker id back. */
  async close(): Promise<void> {
    this.closed = true;
    this.timer?.cancel();
    await this.working;
    const { lease } = this;
    this.lease = undefined;
    await lease?.release(this.options.generator.usedMs);
    this.onFirst();
  }

  /** Takes or renews a lease, one attempt at a time. */
  private work(): void {
    if (this.working || this.closed) return;
    this.timer?.cancel();
    this.working = this.attempt().then((nextMs) => {
      this.working = undefined;
      if (!this.closed) this.timer = this.options.clock.setTimer(nextMs, () => this.work());
    });
  }

  /** Resolves with the time to the next attempt. */
  private async attempt(): Promise<number> {
    const { leases, leaseMs, generator, clock, log } = this.options;
    const nowMs = clock.nowMs();
    const monotonicMs = clock.monotonicMs();
    try {
      if (this.lease) {
        await this.lease.renew(leaseMs, generator.usedMs);
      } else {
        const lease = await leases.acquire("idgen", workersMax, leaseMs);
        generator.assign(lease.slot, lease.highWaterMs);
        this.lease = lease;
        log.info({ event: "worker_id_leased", worker: lease.slot, mark_ms: lease.highWaterMs });
      }
    } catch (error) {
      const worker = this.lease?.slot;
      if (error instanceof LeaseLost) {
        log.error({ event: "worker_id_lost", worker, err: error });
        this.lease = undefined;
        return 0;
      }
      if (!this.retrying) log.warn({ event: "worker_id_not_leased", worker, err: error });
      this.retrying = true;
      return retryMs;
    }
    this.retrying = false;
    const grantedMs = Math.min(leaseMs, this.lease.expireTimeMs - nowMs);
    this.usableUntilMs = monotonicMs + grantedMs * usedShare;
    this.onFirst();
    return Math.max(renewMinMs, grantedMs * renewShare);
  }
}
