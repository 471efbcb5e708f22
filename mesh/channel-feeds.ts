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
/** Questions to Message under way at once; the others queue, at most one for each device. */
const questionsMax = 64;

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
  /** Whose turn to ask comes. */
  private readonly queue = new Set<ChannelSubscription>();
  private questions = 0;

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

  /** Lets a device ask when it is its turn. */
  enqueue(subscription: ChannelSubscription): void {
    this.queue.add(subscription);
    this.askNext();
  }

  /**
   * Asks Message. The updates are those of the positions, in their order; a channel of which
   * Message has not said anything is UNAVAILABLE.
   */
  async sync(identity: Identity, positions: FollowPosition[]): Promise<ChannelUpdate[]> {
    let updates: ChannelUpdate[] = [];
    try {
      updates = await this.options.sync(identity, positions);
    } catch (err) {
      this.log.debug({ event: "channels_not_synced", err });
    }
    const told = new Map(updates.map((update) => [update.channelId, update]));
    return positions.map(({ channelId }) => told.get(channelId) ?? unavailable(channelId));
  }

  /** Ends all following, that of the logs too. */
  close(): void {
    this.queue.clear();
    for (const feed of this.feeds.values()) feed.close();
    this.feeds.clear();
    this.options.logs.close();
  }

  private askNext(): void {
    for (const subscription of this.queue) {
      if (this.questions >= questionsMax) return;
      this.queue.delete(subscription);
      this.questions++;
      void subscription.ask().finally(() => {
        this.questions--;
        this.askNext();
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
  /** Those of them that Message is to be asked about; their logs are followed. */
  private readonly waiting = new Set<LiveFollower>();
  private gathering: NodeJS.Immediate | undefined;
  private isAsking = false;

  constructor(feeds: ChannelFeeds, identity: Identity, subscriber: ChannelSubscriber) {
    this.feeds = feeds;
    this.identity = identity;
    this.subscriber = subscriber;
  }

  /** Follows channels from these positions; those that are followed already begin anew. */
  follow(positions: readonly FollowPosition[]): void {
    const refused: ChannelUpdate[] = [];
    for (const { channelId, channelSequence } of positions) {
      if (this.followers.size >= followedChannelsMax && !this.followers.has(channelId)) {
        refused.push(unavailable(channelId));
        continue;
      }
      // Before the one that it follows is ended, so that the log is followed on.
      const feed = this.feeds.acquire(channelId);
      this.end(channelId);
      const follower = new LiveFollower(this, channelId, feed);
      follower.position = channelSequence;
      this.followers.set(channelId, follower);
      this.sync(follower);
    }
    if (refused.length > 0) this.subscriber.update(refused);
  }

  /** The subscriber takes more again. */
  resume(): void {
    for (const follower of this.followers.values()) {
      if (!follower.isPaused) continue;
      follower.isPaused = false;
      const { feed, position } = follower;
      if (!feed.covers(position) || !feed.admit(follower)) this.sync(follower);
    }
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
    this.waiting.delete(follower);
    follower.feed.remove(follower);
    this.feeds.release(channelId, follower.feed);
  }

  /** Has Message asked what a follower lacks, and lets it go on from there. */
  sync(follower: LiveFollower): void {
    void follower.feed.ready.then(() => {
      if (!this.isCurrent(follower)) return;
      this.waiting.add(follower);
      // Those whose logs are followed by the end of this turn share a question.
      this.gathering ??= setImmediate(() => {
        this.gathering = undefined;
        this.askAgain();
      });
    });
  }

  /** Asks Message about those that wait, as many as a question takes: one question at a time. */
  async ask(): Promise<void> {
    const followers = [...this.waiting].slice(0, positionsMax);
    if (followers.length === 0) return;
    for (const follower of followers) this.waiting.delete(follower);
    const positions = followers.map(({ channelId, position }) => {
      return { channelId, channelSequence: position };
    });
    this.isAsking = true;
    const updates = await this.feeds.sync(this.identity, positions);
    this.isAsking = false;
    const answered = followers.map((follower, i) => ({ follower, update: updates[i]! }));
    const open = answered.filter(({ follower }) => this.isCurrent(follower));
    if (open.length > 0) this.subscriber.update(open.map(({ update }) => update));
    for (const { follower, update } of open) this.goOn(follower, update);
    this.askAgain();
  }

  private askAgain(): void {
    if (this.waiting.size > 0 && !this.isAsking) this.feeds.enqueue(this);
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
    if (!follower.feed.admit(follower)) this.sync(follower);
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
    this.subscription.sync(this);
  }
}

function unavailable(channelId: string): ChannelUpdate {
  return create(ChannelUpdateSchema, { channelId, state: ChannelUpdateState.UNAVAILABLE });
}
