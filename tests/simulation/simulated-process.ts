import type { Clock, Timer } from "../../mesh/clock.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** Wall-clock time when a run begins. */
export const startMs = Date.UTC(2026, 0, 1);

/**
 * A process: a place where things happen that can freeze or die. When it dies, all that was to
 * happen in it does not: its timers are gone, and what it awaits never resolves nor rejects.
 */
export class SimulatedProcess {
  readonly name: string;
  alive = true;
  /** Until then it stands still; what is due happens afterwards. */
  frozenUntilMs = 0;
  /** How far its wall clock is ahead. */
  skewMs = 0;
  readonly clock: Clock;
  private readonly mourners: (() => void)[] = [];
  private readonly time: VirtualTime;

  constructor(name: string, time: VirtualTime) {
    this.name = name;
    this.time = time;
    this.clock = {
      nowMs: () => Math.floor(startMs + time.nowMs + this.skewMs),
      monotonicMs: () => time.nowMs,
      setTimer: (delayMs, callback): Timer => {
        let pending = true;
        this.later(delayMs, () => {
          if (pending) callback();
        });
        return {
          cancel: () => {
            pending = false;
          },
        };
      },
    };
  }

  /** Nothing more happens in it. */
  die(): void {
    this.alive = false;
    for (const mourn of this.mourners) mourn();
  }

  /** Calls back when it dies. */
  onDeath(mourn: () => void): void {
    this.mourners.push(mourn);
  }

  /** Lets something happen in this process after a delay, if it is still alive then. */
  later(delayMs: number, run: () => void): void {
    this.laterAt(this.time.nowMs + Math.max(0, delayMs), run);
  }

  /** Lets something happen in this process at a time, if it is still alive then. */
  laterAt(dueMs: number, run: () => void): void {
    this.time.scheduleAt(dueMs, () => {
      if (!this.alive) return;
      if (this.frozenUntilMs > this.time.nowMs) this.laterAt(this.frozenUntilMs, run);
      else run();
    });
  }
}

/** What is sent along it arrives in the order of sending. */
export class Lane {
  private readonly time: VirtualTime;
  private lastDueMs = 0;

  constructor(time: VirtualTime) {
    this.time = time;
  }

  /** When something arrives that is sent now and would take `delayMs`. */
  dueMs(delayMs: number): number {
    this.lastDueMs = Math.max(this.lastDueMs, this.time.nowMs + delayMs);
    return this.lastDueMs;
  }
}
