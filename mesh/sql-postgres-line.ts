import type { Clock } from "./clock.ts";
import { DomainError } from "./errors.ts";

/** Statements and transactions that wait at most; more are answered OVERLOADED. */
export const sqlWaitingMax = 1_000;

/** 10 connections answer 1,000 statements in that time: 3,500/s beside the server on two cores. */
const overloadedRetryMs = 300;

/** Who has one of so many connections or waits for one, in the order of their coming. */
export class ConnectionLine {
  private free: number;
  private readonly waitMsMax: number;
  private readonly clock: Clock;
  private readonly waiting = new Set<() => void>();

  constructor(places: number, waitMsMax: number, clock: Clock) {
    this.free = places;
    this.waitMsMax = waitMsMax;
    this.clock = clock;
  }

  /**
   * Resolves when there is a place, for which `leave` must be called.
   * @throws DomainError OVERLOADED where too many wait, or it took too long.
   */
  async enter(): Promise<void> {
    if (this.free > 0) {
      this.free--;
      return;
    }
    if (this.waiting.size >= sqlWaitingMax) {
      throw overloaded(`${sqlWaitingMax} statements wait for the database`);
    }
    await new Promise<void>((resolve, reject) => {
      const admit = () => {
        timer.cancel();
        resolve();
      };
      const timer = this.clock.setTimer(this.waitMsMax, () => {
        this.waiting.delete(admit);
        reject(overloaded(`no connection to the database was free for ${this.waitMsMax} ms`));
      });
      this.waiting.add(admit);
    });
  }

  /** Gives the place to who waits longest. */
  leave(): void {
    const [next] = this.waiting;
    if (next) {
      this.waiting.delete(next);
      next();
    } else {
      this.free++;
    }
  }
}

function overloaded(message: string): DomainError {
  return new DomainError("OVERLOADED", message, { retryAfterMs: overloadedRetryMs });
}
