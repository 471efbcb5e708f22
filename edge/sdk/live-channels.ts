import type { ChannelDeliveries, FollowChannelsResult } from "../../gen/parley/edge/v1/frame_pb.js";
import { DeliveryMode } from "../../gen/parley/message/v1/message_pb.js";
import {
  type ChannelUpdate,
  ChannelUpdateState as State,
} from "../../gen/parley/message/v1/sync_pb.js";
import { Backoff } from "./backoff.ts";
import type { ChannelSync } from "./channel-sync.ts";
import { sleep, type Timers } from "./timers.ts";

/** What following works with. */
export interface LiveChannelsOptions {
  sync: Pick<ChannelSync, "of" | "known" | "update" | "receiveLive" | "beginAnew">;
  /** Whether the channel is known to be LIVE. */
  isLive(channelId: string): boolean;
  /** Asks the edge to follow channels, over the connection that there is. */
  follow(channels: { channelId: string; channelSequence: number }[]): void;
  /** A channel's number of members is known. */
  onCount(channelId: string, memberCount: number): void;
  timers: Timers;
  random: () => number;
  /** Ends everything. */
  signal: AbortSignal;
}

/** Channels to a question: the edge's limit. */
const channelsMax = 200;

/**
 * The LIVE channels, whose messages are in no inbox: each is followed from where the device is,
 * on every connection anew. The answer brings what the device lacks; what comes then continues it,
 * and where it does not, the edge is asked again.
 */
export class LiveChannels {
  private readonly options: LiveChannelsOptions;
  /**
   * Channels that this connection follows, and where the device was when it asked for them, as long
   * as the answer is awaited, or the history read.
   */
  private readonly followed = new Map<string, number | undefined>();
  private readonly wanted = new Set<string>();
  private readonly backoff: Backoff;
  private isOpen = false;

  constructor(options: LiveChannelsOptions) {
    this.options = options;
    this.backoff = new Backoff(options.random);
  }

  /** A connection begins: what is in the inbox comes first. */
  onWelcome(): void {
    this.isOpen = false;
    this.followed.clear();
    this.wanted.clear();
  }

  /** The inbox has been received. */
  onCaughtUp(): void {
    this.isOpen = true;
    for (const { channelId } of this.options.sync.known()) this.consider(channelId);
  }

  /** Something has become known of the channel: it is followed if it should be. */
  consider(channelId: string): void {
    const { sync, isLive } = this.options;
    // With the membership the edge ends the following: who comes back asks anew.
    if (!sync.of(channelId)?.member) this.followed.delete(channelId);
    else if (this.isOpen && !this.followed.has(channelId) && isLive(channelId)) this.ask(channelId);
  }

  /** The edge has answered. */
  onResult({ updates }: FollowChannelsResult): void {
    for (const update of updates) if (this.followed.has(update.channelId)) this.take(update);
  }

  /** A channel has got something. */
  onDeliveries(deliveries: ChannelDeliveries): void {
    const { channelId, memberCount } = deliveries;
    if (!this.followed.has(channelId)) return;
    const isAwaiting = this.followed.get(channelId) !== undefined;
    if (memberCount > 0) this.options.onCount(channelId, memberCount);
    if (!this.options.sync.receiveLive(deliveries) && !isAwaiting) this.ask(channelId);
  }

  private take(update: ChannelUpdate): void {
    const { sync, onCount } = this.options;
    const { channelId, state, mode, memberCount } = update;
    if (state === State.UNAVAILABLE || state === State.UNSPECIFIED) {
      void this.askLater(channelId);
      return;
    }
    this.backoff.reset();
    if (memberCount > 0) onCount(channelId, memberCount);
    const askedFrom = this.followed.get(channelId) ?? 0;
    if (sync.of(channelId)!.lastChannelSequence < askedFrom) {
      // The inbox has shown meanwhile that the channel begins earlier.
      this.ask(channelId);
      return;
    }
    if (state === State.READ_HISTORY) {
      // What comes meanwhile does not continue the device's position: the next answer has it.
      void sync.beginAnew(channelId).then(() => this.askAgain(channelId));
    } else if (state === State.MORE) {
      sync.update(update);
      this.ask(channelId);
    } else if (state === State.CURRENT) {
      sync.update(update);
      const isFollowed = sync.of(channelId)?.member && mode === DeliveryMode.LIVE;
      if (isFollowed) this.followed.set(channelId, undefined);
      else this.followed.delete(channelId);
    } else {
      sync.update(update);
      this.followed.delete(channelId);
    }
  }

  private async askLater(channelId: string): Promise<void> {
    const { timers, signal } = this.options;
    await sleep(timers, this.backoff.next(0), signal).catch(() => {});
    this.askAgain(channelId);
  }

  /** Asks, unless the connection has ended meanwhile: the next one asks by itself. */
  private askAgain(channelId: string): void {
    if (this.isOpen && this.followed.has(channelId)) this.ask(channelId);
  }

  /** Asks for the channel, with all others of this turn. */
  private ask(channelId: string): void {
    this.followed.set(channelId, this.options.sync.of(channelId)!.lastChannelSequence);
    this.wanted.add(channelId);
    if (this.wanted.size === 1) queueMicrotask(() => this.askForWanted());
  }

  private askForWanted(): void {
    const channels = [...this.wanted].flatMap((channelId) => {
      const channelSequence = this.followed.get(channelId);
      return channelSequence === undefined ? [] : [{ channelId, channelSequence }];
    });
    this.wanted.clear();
    while (channels.length > 0) this.options.follow(channels.splice(0, channelsMax));
  }
}
