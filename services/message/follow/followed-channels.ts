/**
 * The LIVE channels that one gRPC caller follows: those that it asks for, and those that its inbox
 * says it is in. So many are asked for at a time, and more only when what was answered has left: a
 * slow reader has those answers waiting and no others.
 */
import {
  MembershipChange_Kind as ChangeKind,
  DeliveryMode,
  type Message,
} from "../../../gen/parley/message/v1/message_pb.js";
import {
  type ChannelUpdate,
  ChannelUpdateState as State,
} from "../../../gen/parley/message/v1/sync_pb.js";
import type { ChannelBatch } from "../../../mesh/channel-batch.ts";
import {
  type ChannelFeeds,
  type ChannelSubscriber,
  type ChannelSubscription,
  type FollowPosition,
  positionsMax,
} from "../../../mesh/channel-feeds.ts";
import { isGoing } from "../../../mesh/channel-items.ts";
import type { Clock, Timer } from "../../../mesh/clock.ts";
import type { Identity } from "../../../mesh/rpc.ts";

/** Who is told. */
export interface ChannelListener {
  /** Takes updates; `onWritten` is called when they have left. */
  update(updates: ChannelUpdate[], onWritten: () => void): void;
  /** False: nothing more until `resume`. */
  deliverChannel(batch: ChannelBatch): boolean;
}

/** What following works with. */
export interface FollowedChannelsOptions {
  channels: ChannelFeeds;
  clock: Clock;
}

/** From an answer that a channel can't be read now to the next question. */
const retryMs = 5_000;

/** One caller's LIVE channels. */
export class FollowedChannels implements ChannelSubscriber {
  private readonly clock: Clock;
  private readonly userId: string;
  private readonly listener: ChannelListener;
  private readonly subscription: ChannelSubscription;
  /** Where the caller is in the channels that it follows, or is about to. */
  private readonly positions = new Map<string, number>();
  /** Channels to ask for. */
  private readonly wanted = new Set<string>();
  /** Those that are not answered yet, and the item that the answer must know of. */
  private readonly asked = new Map<string, number>();
  /** Answers that have not left. */
  private answers = 0;
  private readonly unavailable = new Set<string>();
  private retry: Timer | undefined;

  constructor(
    { channels, clock }: FollowedChannelsOptions,
    identity: Identity,
    listener: ChannelListener,
  ) {
    this.clock = clock;
    this.userId = identity.userId;
    this.listener = listener;
    this.subscription = channels.subscribe(identity, this);
  }

  /** Follows channels from these positions; what is followed already goes on. */
  follow(positions: readonly FollowPosition[]): void {
    for (const { channelId, channelSequence } of positions) {
      // The answer that is under way may not know of this yet.
      if (this.asked.has(channelId)) this.asked.set(channelId, channelSequence);
      if (this.positions.has(channelId)) continue;
      this.positions.set(channelId, channelSequence);
      this.wanted.add(channelId);
    }
    this.ask();
  }

  /** Takes what the inbox says: a channel is LIVE from here on, or the user comes or goes. */
  note({ channelId, channelSequence, body }: Message): void {
    if (body.case === "channelChange") {
      const isTurn = body.value.change.case === "mode";
      if (isTurn) this.follow([{ channelId, channelSequence }]);
    } else if (body.case === "membershipChange" && body.value.userIds.includes(this.userId)) {
      const { kind } = body.value;
      const isComing = kind === ChangeKind.ADDED || kind === ChangeKind.JOINED;
      // One that is created is COPY, and who is in it may hear that it turns.
      if (isComing) this.follow([{ channelId, channelSequence }]);
      else if (isGoing(kind)) this.forget(channelId);
    }
  }

  update(updates: ChannelUpdate[]): void {
    for (const { channelId, state, mode, member, channelSequence } of updates) {
      const least = this.asked.get(channelId) ?? 0;
      this.asked.delete(channelId);
      // The inbox has said meanwhile that the user is out.
      if (!this.positions.has(channelId)) continue;
      if (channelSequence < least) this.wanted.add(channelId);
      else if (state === State.UNAVAILABLE) this.askLater(channelId);
      else if (state === State.NOT_A_MEMBER || mode !== DeliveryMode.LIVE) this.forget(channelId);
      else {
        this.positions.set(channelId, channelSequence);
        if (state === State.MORE) this.wanted.add(channelId);
        else if (!member) this.forget(channelId);
      }
    }
    const told = updates.filter(({ mode }) => mode !== DeliveryMode.COPY);
    if (told.length === 0) {
      this.ask();
      return;
    }
    this.answers++;
    this.listener.update(told, () => {
      this.answers--;
      this.ask();
    });
  }

  deliverChannel(batch: ChannelBatch): boolean {
    const { channelId, sequence } = batch;
    // The inbox may have said already that the user is out.
    if (this.positions.has(channelId)) this.positions.set(channelId, sequence);
    if (batch.isEnd) this.forget(channelId);
    return this.listener.deliverChannel(batch);
  }

  /** The listener takes more again. */
  resume(): void {
    this.subscription.resume();
  }

  /** Ends all following. */
  stop(): void {
    this.wanted.clear();
    this.retry?.cancel();
    this.subscription.stop();
  }

  private forget(channelId: string): void {
    this.positions.delete(channelId);
    this.wanted.delete(channelId);
    this.asked.delete(channelId);
    this.unavailable.delete(channelId);
  }

  private askLater(channelId: string): void {
    this.unavailable.add(channelId);
    this.retry ??= this.clock.setTimer(retryMs, () => {
      this.retry = undefined;
      for (const channelId of this.unavailable) this.wanted.add(channelId);
      this.unavailable.clear();
      this.ask();
    });
  }

  private ask(): void {
    if (this.answers > 0) return;
    const positions: FollowPosition[] = [];
    for (const channelId of this.wanted) {
      if (this.asked.size >= positionsMax) break;
      this.wanted.delete(channelId);
      this.asked.set(channelId, 0);
      positions.push({ channelId, channelSequence: this.positions.get(channelId) ?? 0 });
    }
    if (positions.length > 0) this.subscription.follow(positions);
  }
}
