import type { ChannelSync } from "./channel-sync.ts";
import { sleep, type Timers } from "./timers.ts";

/** What the check works with. */
export interface HistoryCheckOptions {
  sync: Pick<ChannelSync, "known" | "check">;
  /** From one round to the next, on average; 0: no checks. */
  intervalMs: number;
  timers: Timers;
  random: () => number;
}

/** Channels to a round: those with the newest messages. */
export const checkedChannelsMax = 100;
/** Between two channels of a round, half of it or up to one and a half of it. */
const pauseMs = 200;

/**
 * Compares channels with the authoritative history, in case an inbox lacks what it should have:
 * after every reconnection and at an interval, one channel after the other and never in step with
 * other clients.
 */
export class HistoryCheck {
  private readonly options: HistoryCheckOptions;
  private round: AbortController | undefined;

  constructor(options: HistoryCheckOptions) {
    this.options = options;
  }

  /** Begins a round, and has others follow. */
  start(): void {
    this.stop();
    if (this.options.intervalMs === 0) return;
    this.round = new AbortController();
    // Ends with the signal and in no other way.
    this.run(this.round.signal).catch(() => {});
  }

  /** Ends the round that is under way; none follows. */
  stop(): void {
    this.round?.abort();
  }

  private async run(signal: AbortSignal): Promise<void> {
    const { sync, intervalMs, timers, random } = this.options;
    for (;;) {
      const members = sync.known().filter(({ member }) => member);
      for (const { channelId } of members.slice(0, checkedChannelsMax)) {
        await sleep(timers, pauseMs * (0.5 + random()), signal);
        await sync.check(channelId);
      }
      await sleep(timers, intervalMs * (0.5 + random()), signal);
    }
  }
}
