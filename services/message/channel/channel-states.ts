/**
 * The channels as workers see them: each as it was before the entry that the worker handles. A
 * channel that is not at hand, or is at another point because entries came again, is rebuilt
 * from the snapshot that the entry names.
 */
import type { LogEntry } from "../../../gen/parley/log/v1/log_pb.js";
import type { Stream } from "../../../mesh/streams.ts";
import { LogIncomplete } from "./channel-loader.ts";
import { ChannelState } from "./channel-state.ts";
import { decodeOrSkip, entriesOf, Undecodable } from "./log-entries.ts";

/** Channels kept at hand; those used longest ago go. */
const channelsMax = 10_000;

/** One worker's channels. */
export class ChannelStates {
  private readonly log: Stream;
  private readonly states = new Map<string, ChannelState>();

  constructor(log: Stream) {
    this.log = log;
  }

  /**
   * The channel before the entry of this log sequence; the caller moves it on by the entry.
   * @throws StreamUnavailable, LogIncomplete, Undecodable: the snapshot that the entry names.
   */
  async before(entry: LogEntry, sequence: number): Promise<ChannelState> {
    const { channelId } = entry;
    const firstSequence = entry.items[0]?.item.value?.channelSequence;
    let state = this.states.get(channelId);
    // Of LIVE channels workers need no members: an item tells whom it concerns.
    state?.forget(Number.POSITIVE_INFINITY);
    if (!state || state.channel.lastChannelSequence + 1 !== firstSequence) {
      state = entry.snapshot
        ? new ChannelState(entry.snapshot)
        : await this.rebuild(entry, sequence);
    }
    this.states.delete(channelId);
    this.states.set(channelId, state);
    if (this.states.size > channelsMax) this.states.delete(this.states.keys().next().value!);
    return state;
  }

  private async rebuild(before: LogEntry, sequence: number): Promise<ChannelState> {
    const { channelId } = before;
    const from = Number(before.snapshotLogSequence);
    let state: ChannelState | undefined;
    let isHole = false;
    for await (const stored of entriesOf(channelId, this.log, from, sequence - 1)) {
      const entry = decodeOrSkip(stored);
      if (!entry) {
        if (stored.sequence === from)
          throw new Undecodable(`the snapshot at ${from} of ${channelId}`);
        isHole = true;
        continue;
      }
      if (!state && entry.snapshot) state = new ChannelState(entry.snapshot);
      if (isHole) state?.skipTo(entry);
      state?.applyEntry(entry);
      isHole = false;
    }
    if (!state) throw new LogIncomplete(`${channelId}: no snapshot at ${from}`);
    if (isHole) state.skipTo(before);
    return state;
  }
}
