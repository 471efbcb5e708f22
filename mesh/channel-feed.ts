/**
 * One LIVE channel as one process follows it: one subscription, one decoding of an entry, one
 * encoding of what gathers, for all local followers. Followers are where the channel is, but for
 * those who come, or who could not take what was live; they catch up from what is at hand, or ask
 * Message again.
 */
import type { ChannelBatch } from "./channel-batch.ts";
import { readChannelBatch } from "./channel-batch.ts";
import type { Clock, Timer } from "./clock.ts";
import type { FeedDelivery, Follower, Following } from "./subject-feed-following.ts";

/** What one device follows of one channel. */
export interface ChannelFollower {
  readonly userId: string;
  /** The `channel_sequence` up to which it has everything. */
  position: number;
  /** The first item of the channel that it may know of. */
  readonly minSequence: number;
  /** Takes what follows its position. False: nothing more until it comes back by `admit`. */
  deliver(batch: ChannelBatch): boolean;
  /** Its membership or the channel has ended with what it was given last; nothing follows. */
  ended(): void;
  /** It can't go on from its position, and is given nothing more. */
  lost(): void;
}

/** What gathers is told when it exceeds this, so that it fits into a frame with room to spare. */
const gatheredBytesMax = 256 * 1024;
/** What is kept at hand for those who come. */
const recentBatchesMax = 64;
const recentBytesMax = 1024 * 1024;
/** It goes when it has been there for one to two of these: by then Message has answered who comes. */
const recentIntervalMs = 10_000;
/** Comings and goings alone are told at most this often. */
const countIntervalMs = 1_000;

/** One channel's followers in this process. */
export class ChannelFeed implements Follower {
  /** Followers, those on their way included. */
  followings = 0;
  /** The channel's log, as it is followed; set by the owner. */
  following: Following | undefined;
  /** Resolves when whatever is appended from now on will be heard. */
  readonly ready: Promise<void>;
  private readonly clock: Clock;
  private readonly onFailure: (error: unknown) => void;
  private setReady: () => void = () => {};
  private readonly followers = new Set<ChannelFollower>();
  private gathered: ChannelBatch | undefined;
  private immediate: NodeJS.Immediate | undefined;
  private timer: Timer | undefined;
  private toldMs = 0;
  /** Consecutive, the newest last. */
  private recent: ChannelBatch[] = [];
  private recentBytes = 0;
  /** The last item that came; 0: none yet, or what came is not known any more. */
  private heardSequence = 0;
  /** The last that had come when it was looked at what is recent. */
  private agedSequence = 0;
  private aging: Timer | undefined;

  constructor(clock: Clock, onFailure: (error: unknown) => void) {
    this.clock = clock;
    this.onFailure = onFailure;
    this.ready = new Promise((resolve) => {
      this.setReady = resolve;
    });
  }

  /**
   * Gives the follower what has come since its position, and from now on what comes. False: that
   * is not at hand any more.
   */
  admit(follower: ChannelFollower): boolean {
    this.flush();
    if (this.heardSequence > 0 && !this.covers(follower.position)) return false;
    for (const batch of this.recent) if (!this.give(follower, batch)) return true;
    this.followers.add(follower);
    return true;
  }

  /** Whether all that has come since a position is known to be at hand. */
  covers(position: number): boolean {
    const sinceSequence = this.recent[0]?.prevSequence ?? this.heardSequence;
    return this.heardSequence > 0 && sinceSequence <= position;
  }

  /** Nothing more is given to the follower. */
  remove(follower: ChannelFollower): void {
    this.followers.delete(follower);
  }

  /** Ends everything. */
  close(): void {
    clearImmediate(this.immediate);
    this.timer?.cancel();
    this.aging?.cancel();
    this.followers.clear();
  }

  deliver({ data }: FeedDelivery): boolean {
    let batch: ChannelBatch;
    try {
      batch = readChannelBatch(data);
    } catch (error) {
      this.onFailure(error);
      return true;
    }
    const { gathered } = this;
    const isNext = gathered?.sequence === batch.prevSequence;
    if (gathered && (!isNext || gathered.bytes + batch.bytes > gatheredBytesMax)) this.flush();
    this.gathered = this.gathered ? this.gathered.join(batch) : batch;
    this.flushSoon(this.gathered);
    return true;
  }

  caughtUp(): void {
    this.setReady();
  }

  /** The log has gone on without us: Message knows what the followers lack. */
  reset(): void {
    this.flush();
    this.recent = [];
    this.recentBytes = 0;
    this.heardSequence = 0;
    const followers = [...this.followers];
    this.followers.clear();
    for (const follower of followers) follower.lost();
  }

  /** Nothing but entries is told of a log. */
  event(): void {}

  private flushSoon({ items }: ChannelBatch): void {
    if (this.immediate) return;
    if (items.length > 0) this.immediate = setImmediate(this.flush);
    else if (!this.timer) {
      const inMs = Math.max(0, this.toldMs + countIntervalMs - this.clock.monotonicMs());
      this.timer = this.clock.setTimer(inMs, this.flush);
    }
  }

  private readonly flush = (): void => {
    const { gathered } = this;
    clearImmediate(this.immediate);
    this.timer?.cancel();
    this.immediate = undefined;
    this.timer = undefined;
    if (!gathered) return;
    this.gathered = undefined;
    this.toldMs = this.clock.monotonicMs();
    this.remember(gathered);
    for (const follower of this.followers) {
      if (!this.give(follower, gathered)) this.followers.delete(follower);
    }
  };

  /** False: the follower is none any more. */
  private give(follower: ChannelFollower, batch: ChannelBatch): boolean {
    const { position, minSequence } = follower;
    if (position >= batch.sequence) return true;
    if (position < batch.prevSequence) {
      follower.lost();
      return false;
    }
    const leave = batch.leaveOf(follower.userId, position);
    if (leave !== undefined) {
      // That it is over, and how, is in its own inbox.
      if (leave - 1 > position) follower.deliver(batch.part(position, leave - 1).for(minSequence));
      follower.ended();
      return false;
    }
    const isWhole = position === batch.prevSequence;
    follower.position = batch.sequence;
    const part = isWhole ? batch : batch.part(position, batch.sequence);
    const takesMore = follower.deliver(part.for(minSequence));
    if (part.isEnd) follower.ended();
    return takesMore && !part.isEnd;
  }

  private remember(batch: ChannelBatch): void {
    if (this.recent.at(-1)?.sequence !== batch.prevSequence) {
      this.recent = [];
      this.recentBytes = 0;
    }
    this.recent.push(batch);
    this.recentBytes += batch.bytes;
    this.heardSequence = batch.sequence;
    while (this.recent.length > recentBatchesMax || this.recentBytes > recentBytesMax) {
      this.forgetOldest();
    }
    this.aging ??= this.clock.setTimer(recentIntervalMs, this.age);
  }

  private readonly age = (): void => {
    while (this.recent.length > 0 && this.recent[0]!.sequence <= this.agedSequence) {
      this.forgetOldest();
    }
    this.agedSequence = this.heardSequence;
    const isOver = this.recent.length === 0;
    this.aging = isOver ? undefined : this.clock.setTimer(recentIntervalMs, this.age);
  };

  private forgetOldest(): void {
    this.recentBytes -= this.recent.shift()!.bytes;
  }
}
