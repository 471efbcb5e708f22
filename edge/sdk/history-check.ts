import type { Channel } from "../../gen/parley/message/v1/message_pb.js";
import type { ChannelSync } from "./channel-sync.ts";
import { sleep, type Timers } from "./timers.ts";

/** What the check works with. */
export interface HistoryCheckOptions {
  sync: Pick<ChannelSync, "check" | "complete" | "known" | "list">;
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
 * clients. A channel that the device has not heard of is left to the inbox, which may be about to
 * announce it, until the next round; one that the user is not in any more is read to its end.
 */
export class HistoryCheck {
  private readonly options: HistoryCheckOptions;
  private rounds: AbortController | undefined;
  /** Channels that the device had not heard of in the last round. */
  private unheard = new Set<string>();

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
    const { intervalMs, timers, random } = this.options;
    for (let delayMs = firstDelayMs; ; delayMs = intervalMs) {
      await sleep(timers, delayMs * (0.5 + random()), signal);
      await this.round(signal);
    }
  }

  private async round(signal: AbortSignal): Promise<void> {
    const { sync, listChannels } = this.options;
    const before = sync.known().filter(({ member }) => member);
    const listed = new Set<string>();
    const unheard = new Set<string>();
    for await (const channel of listChannels(signal)) {
      const { channelId } = channel;
      listed.add(channelId);
      if (await sync.check(channel)) continue;
      if (this.unheard.has(channelId)) sync.list(channel);
      else unheard.add(channelId);
    }
    this.unheard = unheard;
    for (const { channelId, member } of before) {
      if (member && !listed.has(channelId)) await sync.complete(channelId);
    }
  }
}
