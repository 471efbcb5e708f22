import type { Clock, Timer } from "./clock.ts";

interface Pending {
  dueMs: number;
  order: number;
  callback: () => void;
}

/** A clock that stands still until a test advances it. */
export class ManualClock implements Clock {
  private timeMs: number;
  private steppedMs = 0;
  private order = 0;
  private pending: Pending[] = [];

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.timeMs = startMs;
  }

  nowMs(): number {
    return this.timeMs + this.steppedMs;
  }

  monotonicMs(): number {
    return this.timeMs;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const entry = { dueMs: this.timeMs + Math.max(0, delayMs), order: this.order++, callback };
    this.pending.push(entry);
    this.pending.sort((a, b) => a.dueMs - b.dueMs || a.order - b.order);
    return {
      cancel: () => {
        this.pending = this.pending.filter((other) => other !== entry);
      },
    };
  }

  /** When the next timer is due, in monotonic milliseconds; undefined: there is none. */
  nextDueMs(): number | undefined {
    return this.pending[0]?.dueMs;
  }

  /** Lets time pass and runs, in order, what falls due. What a callback sets runs too. */
  advance(ms: number): void {
    const endMs = this.timeMs + ms;
    for (;;) {
      const next = this.pending[0];
      if (!next || next.dueMs > endMs) break;
      this.pending.shift();
      this.timeMs = Math.max(this.timeMs, next.dueMs);
      next.callback();
    }
    this.timeMs = endMs;
  }

  /** Time passes while the process does not run: what falls due meanwhile runs late, at the end. */
  sleep(ms: number): void {
    this.timeMs += ms;
    this.advance(0);
  }

  /** Steps the wall clock alone, as a correction of the machine's time does. */
  stepWallClock(ms: number): void {
    this.steppedMs += ms;
  }
}
