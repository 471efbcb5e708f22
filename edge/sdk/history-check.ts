import type { Channel } from "../../gen/parley/message/v1/message_pb.js";
import type { ChannelSync } from "./channel-sync.ts";
import { sleep, type Timers } from "./timers.ts";

/** What the check works with. */
export interface HistoryCheckOptions {
  sync: Pick<ChannelSync, "check">;
  /** All of the user's channels; tries until they can be read. */
  listChannels(signal: AbortSignal): AsyncIterable<Channel>;
  /** From one round to the next, on average; 0: no checks. */
  intervalMs: number;
  timers: Timers;
  random: () => number;
}

/** From a reconnection to the first round, on average: what is on its way needs no check. */
const firstDelayMs = 1_000;

/**
 * Compares how far the device is in its channels with the authoritative history, in case an inbox
 * lacks what it should have: after every reconnection and at an interval, never in step with other
 * clients. Channels that the device has not heard of are left to the inbox, which may be about to
 * announce them.
 */
export class HistoryCheck {
  private readonly options: HistoryCheckOptions;
  private rounds: AbortController | undefined;

  constructor(options: HistoryCheckOptions) {
    this.options = options;
  }

  /** Begins a round, and has others follow. */
  start(): void {
    this.stop();
    if (this.options.intervalMs === 0) return;
    this.rounds = new AbortController();
    // Ends with the signal and in no other way.
    this.run(this.rounds.signal).catch(() => {});
  }

  /** Ends the round that is under way; none follows. */
  stop(): void {
    this.rounds?.abort();
  }

  private async run(signal: AbortSignal): Promise<void> {
    const { sync, listChannels, intervalMs, timers, random } = this.options;
    for (let delayMs = firstDelayMs; ; delayMs = intervalMs) {
      await sleep(timers, delayMs * (0.5 + random()), signal);
      for await (const channel of listChannels(signal)) await sync.check(channel);
    }
  }
}
