/**
 * How frames travel to the edge. WebSocket where it gets through; an event stream where something
 * on the way refuses it; polls where something holds the stream back.
 */
import { timeLimit } from "./time-limit.ts";
import type { Timers } from "./timers.ts";

/** A way to the edge. */
export type Way = "websocket" | HttpWay;
/** A way that needs nothing but HTTP: Server-Sent Events, or long polling. */
export type HttpWay = "sse" | "poll";

/** All ways, the best first. */
export const allWays: readonly Way[] = ["websocket", "sse", "poll"];

/** Once may be chance: a restart of the edge, a change of networks. */
const webSocketFailuresMax = 2;
/** A new connection after this time begins with the best way again: the network may be another. */
const bestAgainMs = 5 * 60_000;
const answerMsMax = 5_000;

/** What the choice works with. */
export interface WaysOptions {
  /** The ways that may be used, the best first. */
  ways: readonly Way[];
  fetch: typeof fetch;
  timers: Timers;
}

/** The way that is used, as experience has it. */
export class Ways {
  private readonly options: WaysOptions;
  private at = 0;
  private failures = 0;
  private leftBestMs = 0;

  /** @throws TypeError where there is no way */
  constructor(options: WaysOptions) {
    if (options.ways.length === 0) throw new TypeError("at least one way is expected");
    this.options = options;
  }

  /** The way for a new connection. */
  next(): Way {
    const { ways, timers } = this.options;
    if (this.at > 0 && Math.abs(timers.nowMs() - this.leftBestMs) > bestAgainMs) this.goTo(0);
    return ways[this.at]!;
  }

  /** A connection is signed in. */
  onWelcome(): void {
    this.failures = 0;
  }

  /**
   * A connection by this way came to nothing, and not by the edge's word. The next way's turn has come if the
   * edge answers HTTP; if it doesn't, it is away, and no way leads to it.
   */
  async onFailure(way: Way, edge: string): Promise<void> {
    const { ways } = this.options;
    if (ways.length === 1) return;
    const answers = await this.answers(edge);
    if (way !== ways[this.at]) return;
    if (!answers) {
      this.goTo(0);
    } else if (++this.failures >= (way === "websocket" ? webSocketFailuresMax : 1)) {
      this.goTo((this.at + 1) % ways.length);
    }
  }

  private goTo(at: number): void {
    if (this.at === 0) this.leftBestMs = this.options.timers.nowMs();
    this.at = at;
    this.failures = 0;
  }

  private async answers(edge: string): Promise<boolean> {
    const { fetch, timers } = this.options;
    const limit = timeLimit(timers, answerMsMax);
    try {
      // Pages of other origins are not shown the answer, only that there is one.
      const init = { mode: "no-cors", cache: "no-store", signal: limit.signal } as const;
      const { ok, type } = await fetch(`${edge}/healthz`, init);
      return ok || type === "opaque";
    } catch {
      return false;
    } finally {
      limit.release();
    }
  }
}
