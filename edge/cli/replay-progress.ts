import type { Clock } from "../../mesh/clock.ts";
import type { Measures } from "./replay-measures.ts";

/** Without any progress for this long, by default, a replay ends: what is missing is lost. */
export const stallMsDefault = 60_000;
const tickMs = 250;
const barWidth = 24;

/** What a progress shows and where. */
export interface ProgressOptions {
  measures: Measures;
  /** Texts to be sent in all. */
  total: number;
  clock: Clock;
  /** Writes to the terminal; undefined: there is none. */
  write: ((text: string) => void) | undefined;
  /** Default: {@link stallMsDefault}. */
  stallMs?: number | undefined;
}

/** Looks after a replay: a bar for people, and the end of one that doesn't move any more. */
export class Progress {
  /** Aborted after `stallMs` without progress. */
  readonly stalled: AbortSignal;
  private readonly options: ProgressOptions;
  private readonly stall = new AbortController();
  private readonly startMs: number;
  private moves = 0;
  private movedMs: number;
  private timer: { cancel(): void };

  constructor(options: ProgressOptions) {
    this.options = options;
    this.stalled = this.stall.signal;
    this.startMs = options.clock.monotonicMs();
    this.movedMs = this.startMs;
    this.timer = this.nextTick();
  }

  /** Clears the bar and watches no more. */
  stop(): void {
    this.timer.cancel();
    this.options.write?.("\r\x1b[K");
  }

  private nextTick(): { cancel(): void } {
    return this.options.clock.setTimer(tickMs, () => this.tick());
  }

  private tick(): void {
    const { measures, clock, stallMs = stallMsDefault } = this.options;
    const nowMs = clock.monotonicMs();
    if (measures.moves !== this.moves) {
      this.moves = measures.moves;
      this.movedMs = nowMs;
    }
    if (nowMs - this.movedMs >= stallMs) {
      this.stall.abort(new Error(`nothing has moved for ${stallMs / 1_000} s`));
    }
    this.options.write?.(`\r${this.bar(nowMs)}\x1b[K`);
    this.timer = this.nextTick();
  }

  private bar(nowMs: number): string {
    const { measures, total } = this.options;
    const done = measures.acknowledged / total;
    const full = "█".repeat(Math.floor(done * barWidth)).padEnd(barWidth, "░");
    const seconds = Math.round((nowMs - this.startMs) / 1_000);
    return `${full} ${Math.floor(done * 100)} % of ${total} texts, ${measures.delivered} deliveries, ${seconds} s`;
  }
}
