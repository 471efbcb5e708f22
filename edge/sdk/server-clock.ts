import type { Timers } from "./timers.ts";

/** The server's clock, as far as it is known: this machine's own until the server has told the time. */
export class ServerClock {
  private readonly timers: Pick<Timers, "nowMs">;
  private aheadMs = 0;

  constructor(timers: Pick<Timers, "nowMs">) {
    this.timers = timers;
  }

  /** Milliseconds since 1970. */
  nowMs(): number {
    return this.timers.nowMs() + this.aheadMs;
  }

  /** The server says that it is this time. */
  set(serverTimeMs: number): void {
    this.aheadMs = serverTimeMs - this.timers.nowMs();
  }
}
