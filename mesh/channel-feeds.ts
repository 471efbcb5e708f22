/**
 * LIVE channels for the devices of one process: DESIGN section 4, points 8 and 9. A device says
 * where it is in a channel; the channel's log is followed, once for all devices; then Message is
 * asked, as the device, what it lacks and whether it may have it; then it gets what comes. The
 * order matters: what is appended while Message is asked is heard here.
 */
import { create } from "@bufbuild/protobuf";
import { DeliveryMode } from "../gen/parley/message/v1/message_pb.js";
import {
  type ChannelPosition,
  type ChannelUpdate,
  ChannelUpdateSchema,
  ChannelUpdateState,
} from "../gen/parley/message/v1/sync_pb.js";
import type { ChannelBatch } from "./channel-batch.ts";
import { ChannelFeed, type ChannelFollower } from "./channel-feed.ts";
import type { Clock } from "./clock.ts";
import type { LogFeeds } from "./log-feed.ts";
import { type Logger, silentLogger } from "./logger.ts";
import type { Identity } from "./rpc.ts";

/** Channels that one device follows at most; more are answered UNAVAILABLE. */
export const followedChannelsMax = 1_000;

/** Channels to a question: as many as Message takes. */
export const positionsMax = 200;
/** Questions to Message under way at once; the others queue, at most one for each follower. */
const syncsMax = 64;

/** Where a device is in a channel. */
export type FollowPosition = Pick<ChannelPosition, "channelId" | "channelSequence">;

/** What the feeds work with. */
export interface ChannelFeedsOptions {
  logs: LogFeeds;
  /** Asks Message.SyncChannels on behalf of a device. */
  sync(identity: Identity, positions: FollowPosition[]): Promise<ChannelUpdate[]>;
  clock: Clock;
  log?: Logger;
}

/** A device that follows channels. Its methods must not throw. */
export interface ChannelSubscriber {
  /** What Message has answered; what comes live follows. */
  update(updates: ChannelUpdate[]): void;
  /** What has come. False: nothing more until `ChannelSubscription.resume`. */
  deliverChannel(batch: ChannelBatch): boolean;
}

/** All LIVE channels that are followed from this process. */
export class ChannelFeeds {
  private readonly options: ChannelFeedsOptions;
  private readonly log: Logger;
  private readonly feeds = new Map<string, ChannelFeed>();
  private readonly queue: (() => Promise<void>)[] = [];
  private syncs = 0;

  constructor(options: ChannelFeedsOptions) {
    this.options = options;
    this.log = options.log ?? silentLogger;
  }

  /** Begins with no channels. */
  subscribe(identity: Identity, subscriber: ChannelSubscriber): ChannelSubscription {
    return new ChannelSubscription(this, identity, subscriber);
  }

  /** The channel's feed, for one more follower. */
  acquire(channelId: string): ChannelFeed {
    let feed = this.feeds.get(channelId);
    if (!feed) {
      feed = new ChannelFeed(this.options.clock, (err) =>
        this.log.error({ event: "live_entry_unreadable", channelId, err }),
      );
      this.feeds.set(channelId, feed);
      // From the log's present end: what is before it, Message answers.
      feed.following = this.options.logs.follow(channelId, { epoch: "", sequence: 0 }, feed);
    }
    feed.followings++;
    return feed;
  }

  /** One follower less. */
  release(channelId: string, feed: ChannelFeed): void {
    if (--feed.followings > 0) return;
    this.feeds.delete(channelId);
    this.options.logs.stop(feed.following!);
    feed.close();
  }

  /**
   * Asks Message when it is this question's turn. The updates are those of the positions, in their
   * order; a channel of which Message has not said anything is UNAVAILABLE.
   */
  sync(
    identity: Identity,
    positions: FollowPosition[],
    done: (updates: ChannelUpdate[]) => void,
  ): void {
    this.queue.push(async () => {
      let updates: ChannelUpdate[] = [];
      try {
        updates = await this.options.sync(identity, positions);
      } catch (err) {
        this.log.debug({ event: "channels_not_synced", err });
      }
      const told = new Map(updates.map((update) => [update.channelId, update]));
      done(positions.map(({ channelId }) => told.get(channelId) ?? unavailable(channelId)));
    });
    this.syncNext();
  }

  /** Ends all following, that of the logs too. */
  close(): void {
    this.queue.length = 0;
    for (const feed of this.feeds.values()) feed.close();
    this.feeds.clear();
    this.options.logs.close();
  }

  private syncNext(): void {
    while (this.syncs < syncsMax) {
      const next = this.queue.shift();
      if (!next) return;
      this.syncs++;
      void next().finally(() => {
        this.syncs--;
        this.syncNext();
      });
    }
  }
}

/** The channels that one device follows. */
export class ChannelSubscription {
  private readonly feeds: ChannelFeeds;
  private readonly identity: Identity;
  private readonly subscriber: ChannelSubscriber;
  private readonly followers = new Map<string, LiveFollower>();

  constructor(feeds: ChannelFeeds, identity: Identity, subscriber: ChannelSubscriber) {
    this.feeds = feeds;
    this.identity = identity;
    this.subscriber = subscriber;
  }

  /** Follows channels from these positions; those that are followed already begin anew. */
  follow(positions: readonly FollowPosition[]): void {
    const followers: LiveFollower[] = [];
    for (const { channelId, channelSequence } of positions) {
      this.end(channelId);
      if (this.followers.size >= followedChannelsMax) {
        this.subscriber.update([unavailable(channelId)]);
        continue;
      }
      const follower = new LiveFollower(this, channelId, this.feeds.acquire(channelId));
      follower.position = channelSequence;
      this.followers.set(channelId, follower);
      followers.push(follower);
    }
    void this.sync(followers);
  }

  /** The subscriber takes more again. */
  resume(): void {
    const lost: LiveFollower[] = [];
    for (const follower of this.followers.values()) {
      if (!follower.isPaused) continue;
      follower.isPaused = false;
      const { feed, position } = follower;
      if (!feed.covers(position) || !feed.admit(follower)) lost.push(follower);
    }
    if (lost.length > 0) void this.sync(lost);
  }

  /** Ends all following. */
  stop(): void {
    for (const channelId of [...this.followers.keys()]) this.end(channelId);
  }

  get userId(): string {
    return this.identity.userId;
  }

  /** Gives a batch to the subscriber. */
  deliver(batch: ChannelBatch): boolean {
    return this.subscriber.deliverChannel(batch);
  }

  /** Ends the following of a channel. */
  end(channelId: string): void {
    const follower = this.followers.get(channelId);
    if (!follower) return;
    this.followers.delete(channelId);
    follower.feed.remove(follower);
    this.feeds.release(channelId, follower.feed);
  }

  /** Asks Message what followers lack, and lets them go on from there. */
  async sync(followers: readonly LiveFollower[]): Promise<void> {
    await Promise.all(followers.map(({ feed }) => feed.ready));
    const wanted = followers.filter((follower) => this.isCurrent(follower));
    while (wanted.length > 0) this.ask(wanted.splice(0, positionsMax));
  }

  private ask(followers: readonly LiveFollower[]): void {
    const positions = followers.map(({ channelId, position }) => {
      return { channelId, channelSequence: position };
    });
    this.feeds.sync(this.identity, positions, (updates) => {
      const answered = followers.map((follower, i) => ({ follower, update: updates[i]! }));
      const open = answered.filter(({ follower }) => this.isCurrent(follower));
      if (open.length > 0) this.subscriber.update(open.map(({ update }) => update));
      for (const { follower, update } of open) this.goOn(follower, update);
    });
  }

  private goOn(follower: LiveFollower, update: ChannelUpdate): void {
    if (!this.isCurrent(follower)) return;
    const { state, member, mode, channelSequence, minChannelSequence } = update;
    const isWhole =
      state === ChannelUpdateState.CURRENT || state === ChannelUpdateState.READ_HISTORY;
    if (!isWhole || !member || mode !== DeliveryMode.LIVE) {
      this.end(follower.channelId);
      return;
    }
    follower.position = channelSequence;
    follower.minSequence = minChannelSequence;
    if (!follower.feed.admit(follower)) void this.sync([follower]);
  }

  private isCurrent(follower: LiveFollower): boolean {
    return this.followers.get(follower.channelId) === follower;
  }
}

/** One device in one channel. */
class LiveFollower implements ChannelFollower {
  readonly channelId: string;
  readonly feed: ChannelFeed;
  position = 0;
  minSequence = 0;
  isPaused = false;
  private readonly subscription: ChannelSubscription;

  constructor(subscription: ChannelSubscription, channelId: string, feed: ChannelFeed) {
    this.subscription = subscription;
    this.channelId = channelId;
    this.feed = feed;
  }

  get userId(): string {
    return this.subscription.userId;
  }

  deliver(batch: ChannelBatch): boolean {
    this.isPaused = !this.subscription.deliver(batch);
    return !this.isPaused;
  }

  ended(): void {
    this.subscription.end(this.channelId);
  }

  lost(): void {
    void this.subscription.sync([this]);
  }
}

function unavailable(channelId: string): ChannelUpdate {
  return create(ChannelUpdateSchema, { channelId, state: ChannelUpdateState.UNAVAILABLE });
}
