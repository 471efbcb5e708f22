import type { Clock } from "../../mesh/clock.ts";
import { sessionError } from "./session-errors.ts";

/** How often something may be done. */
export interface AllowanceLimit {
  /** What is counted, for the message: "wrong passwords for this account". */
  what: string;
  /** So often at once… */
  max: number;
  /** …and evenly as often again in this time. */
  periodMs: number;
}

/** Keys that are remembered; past it the one that was used least recently starts afresh. */
const keysMax = 100_000;

/**
 * Limits how often something is done per key, in this process' memory: several instances allow
 * as much each. A leaky bucket that keeps one number a key (GCRA): the time at which the bucket
 * will be empty.
 */
export class Allowance {
  private readonly limit: AllowanceLimit;
  private readonly clock: Clock;
  private readonly emptyMs = new Map<string, number>();

  constructor(limit: AllowanceLimit, clock: Clock) {
    this.limit = limit;
    this.clock = clock;
  }

  /**
   * Takes one. The empty key is nobody in particular and has no limit.
   * @throws DomainError TOO_MANY_ATTEMPTS with the time until the next one.
   */
  take(key: string): void {
    if (key === "") return;
    const { what, max, periodMs } = this.limit;
    const nowMs = this.clock.monotonicMs();
    const emptyMs = Math.max(nowMs, this.emptyMs.get(key) ?? 0) + periodMs / max;
    const retryAfterMs = Math.round(emptyMs - periodMs - nowMs);
    if (retryAfterMs > 0) {
      throw sessionError(
        "TOO_MANY_ATTEMPTS",
        `${what}: at most ${max} in ${periodMs / 60_000} min`,
        {
          retryAfterMs,
        },
      );
    }
    this.emptyMs.delete(key);
    this.emptyMs.set(key, emptyMs);
    this.forget(nowMs);
  }

  /** Gives one back that was taken and doesn't count after all. */
  giveBack(key: string): void {
    const emptyMs = this.emptyMs.get(key);
    if (emptyMs !== undefined)
      this.emptyMs.set(key, emptyMs - this.limit.periodMs / this.limit.max);
  }

  private forget(nowMs: number): void {
    for (const [key, emptyMs] of this.emptyMs) {
      if (emptyMs > nowMs && this.emptyMs.size <= keysMax) return;
      this.emptyMs.delete(key);
    }
  }
}
