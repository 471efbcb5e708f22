import type { Clock } from "../../mesh/clock.ts";

/** Consecutive failures after which the peer is left alone. */
const failuresMax = 3;
const pauseMsMin = 1_000;
/** So late at most is it noticed that the peer is back. */
const pauseMsMax = 60_000;

/**
 * A circuit breaker for a peer that is asked again by its caller anyway: it only says how long
 * nobody should try. After a pause everybody may; the first failure begins the next, longer one.
 */
export class PushBreaker {
  private readonly clock: Clock;
  private failures = 0;
  private pauseEndMs = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** How long the peer is left alone still; 0: it may be asked. */
  pauseMs(): number {
    return Math.max(0, this.pauseEndMs - this.clock.monotonicMs());
  }

  /** The peer could not be reached, or did not answer. What began before a pause counts once. */
  failed(): void {
    if (this.pauseMs() > 0 || ++this.failures < failuresMax) return;
    const pauseMs = Math.min(pauseMsMin * 2 ** (this.failures - failuresMax), pauseMsMax);
    this.pauseEndMs = this.clock.monotonicMs() + pauseMs;
  }

  /** The peer has answered. */
  worked(): void {
    this.failures = 0;
    this.pauseEndMs = 0;
  }
}
