import type { Clock, Timer } from "./clock.ts";
import type { Logger } from "./logger.ts";

/** It is over when nothing has failed for so long: longer than any pause between two attempts. */
export const quietMs = 30_000;

/** How an outage is told of. */
export interface OutageOptions {
  logger: Logger;
  clock: Clock;
  /** How bad it is. */
  level: "warn" | "error";
  /** The event of its first failure. */
  began: string;
  /** The event of its end. */
  ended: string;
}

/**
 * Something that many attempts need and that is away now and then, in the log: a line with the
 * first failure, and one, with their number, when attempts have worked for {@link quietMs} again.
 */
export class Outage {
  private readonly options: OutageOptions;
  private failures = 0;
  private ending: Timer | undefined;

  constructor(options: OutageOptions) {
    this.options = options;
  }

  /** An attempt has failed. `fields` say of the first one what it was about. */
  failed(err: unknown, fields: Readonly<Record<string, unknown>> = {}): void {
    this.ending?.cancel();
    this.ending = undefined;
    if (this.failures++ > 0) return;
    const { logger, level, began: event } = this.options;
    logger[level]({ event, ...fields, err });
  }

  /** An attempt has worked. */
  worked(): void {
    if (this.failures === 0 || this.ending) return;
    const { logger, clock, ended: event } = this.options;
    this.ending = clock.setTimer(quietMs, () => {
      logger.info({ event, failures: this.failures });
      this.failures = 0;
      this.ending = undefined;
    });
  }
}
