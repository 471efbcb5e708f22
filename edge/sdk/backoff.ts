const delayMsMin = 1_000;
const delayMsMax = 30_000;

/**
 * How long to wait before the next try: anything up to a limit that doubles from 1 s to 30 s
 * ("full jitter"), so that clients that lost the same server don't come back together.
 */
export class Backoff {
  private readonly random: () => number;
  private tries = 0;

  /** @param random from 0 to below 1 */
  constructor(random: () => number) {
    this.random = random;
  }

  /** The next delay in milliseconds, on top of what the server asked for. */
  next(retryAfterMs = 0): number {
    const limit = Math.min(delayMsMax, delayMsMin * 2 ** this.tries++);
    return retryAfterMs + this.random() * limit;
  }

  /** The next try is a first one again. */
  reset(): void {
    this.tries = 0;
  }
}
