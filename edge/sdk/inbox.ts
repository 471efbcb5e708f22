/**
 * The device's inbox: what comes from it goes to the channels, what it no longer holds is rebuilt
 * from the history, and how far it is processed is kept and acknowledged.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  type AckSchema,
  type ChannelDeliveries,
  type Deliveries,
  type FollowChannelsResult,
  type Reset,
  ResetReason,
  type Welcome,
} from "../../gen/parley/edge/v1/frame_pb.js";
import {
  type Channel,
  DeliveryMode,
  type Message,
  type Revision,
} from "../../gen/parley/message/v1/message_pb.js";
import type {
  ListChannelsResponse,
  MessageService,
} from "../../gen/parley/message/v1/message_service_pb.js";
import { Backoff } from "./backoff.ts";
import { ChannelDetails } from "./channel-details.ts";
import type { KnownChannel } from "./channel-state.ts";
import { ChannelSync } from "./channel-sync.ts";
import { channelEntry, detailsEntry, type InboxPosition, positionEntry } from "./device-entries.ts";
import type { DeviceState } from "./device-state.ts";
import { errorRetryAfterMs } from "./errors.ts";
import type { Events, ParleyEvents } from "./events.ts";
import { HistoryCheck } from "./history-check.ts";
import { InboxProgress } from "./inbox-progress.ts";
import { LiveChannels } from "./live-channels.ts";
import { rebuild } from "./rebuild.ts";
import { sleep, type Timers } from "./timers.ts";

/** What an inbox works with. */
export interface InboxOptions {
  userId: string;
  state: DeviceState;
  events: Events<ParleyEvents>;
  messages: Client<typeof MessageService>;
  /** Resolves while there is a connection. @throws the signal's reason */
  connected(signal: AbortSignal): Promise<unknown>;
  /** A message was told of. */
  onMessage(message: Message): void;
  /** See ChannelSyncOptions. */
  onRevision(revision: Revision): boolean;
  onRevised(message: Message): void;
  /** Asks to follow LIVE channels over the connection that there is, if any. */
  follow(channels: { channelId: string; channelSequence: number }[]): void;
  /** A page of the user's channels was read. */
  onListed(page: ListChannelsResponse): void;
  /** Sends an ack over the connection that there is. False: there is none. */
  ack(ack: MessageInitShape<typeof AckSchema>): boolean;
  /** Ends the connection: what came over it can't be. */
  refuse(reason: string): void;
  checkIntervalMs: number;
  timers: Timers;
  random: () => number;
  /** Ends everything. */
  signal: AbortSignal;
}

/** What is processed is acknowledged at most this long after. */
const ackDelayMs = 2_000;
/** Channels of one ack; the others' come with the next. */
const ackChannelsMax = 100;

/** One device's inbox. */
export class Inbox {
  private readonly options: InboxOptions;
  private readonly progress: InboxProgress;
  private readonly sync: ChannelSync;
  private readonly details: ChannelDetails;
  private readonly live: LiveChannels;
  private readonly check: HistoryCheck;
  private curMaxMessageId: bigint;
  private kept: InboxPosition;
  private ackTimer: { cancel(): void } | undefined;
  /** Of channels with messages of others that are not acknowledged, the newest. */
  private readonly delivered = new Map<string, bigint>();
  private rebuilding: AbortController | undefined;

  constructor(options: InboxOptions) {
    const { userId, state, events, messages, timers, random, signal } = options;
    const { position, curMaxMessageId, channels, details } = state.loaded;
    this.options = options;
    this.progress = new InboxProgress(position);
    this.kept = position;
    this.curMaxMessageId = curMaxMessageId;
    this.sync = new ChannelSync(
      {
        userId,
        listMessages: async (request, signal) => {
          await options.connected(signal);
          return messages.listMessages(request, { signal });
        },
        listRevisedMessages: async (request, signal) => {
          await options.connected(signal);
          return messages.listRevisedMessages(request, { signal });
        },
        onMessage: (message) => this.onMessage(message),
        onRevision: (revision) => options.onRevision(revision),
        onRevised: (message) => options.onRevised(message),
        onBaseline: (baseline) => events.emit("baseline", baseline),
        onPosition: (position) => {
          state.put(channelEntry(position));
          this.live.consider(position.channelId);
        },
        onHeld: (channelId, before) => this.progress.hold(channelId, before),
        onReleased: (channelId) => {
          this.progress.release(channelId);
          this.keepPosition();
        },
        timers,
        random,
        signal,
      },
      channels,
    );
    this.details = new ChannelDetails(
      {
        userId,
        async getChannel(channelId, signal) {
          await options.connected(signal);
          return (await messages.getChannel({ channelId }, { signal })).channel;
        },
        onChange: (channel) => {
          state.put(detailsEntry(channel));
          events.emit("channel", channel);
          this.live.consider(channel.channelId);
        },
        timers,
        random,
        signal,
      },
      details,
    );
    this.live = new LiveChannels({
      sync: this.sync,
      isLive: (channelId) => this.details.of(channelId)?.mode === DeliveryMode.LIVE,
      follow: (channels) => options.follow(channels),
      onCount: (channelId, memberCount) => this.details.count(channelId, memberCount),
      timers,
      random,
      signal,
    });
    this.check = new HistoryCheck({
      sync: this.sync,
      listChannels: (signal) => this.listChannels(signal),
      intervalMs: options.checkIntervalMs,
      timers,
      random,
    });
    signal.addEventListener("abort", () => this.close(), { once: true });
  }

  /** What Hello says of the inbox. */
  get hello(): { inboxEpoch: string; inboxSequence: bigint; curMaxMessageId: bigint } {
    const { epoch, sequence } = this.progress.position;
    const { curMaxMessageId } = this;
    return { inboxEpoch: epoch, inboxSequence: sequence, curMaxMessageId };
  }

  /** All channels that the device knows, those with the newest messages first. */
  get channels(): KnownChannel[] {
    return this.sync.known();
  }

  /** A channel as it is known; undefined: not yet. */
  channel(channelId: string): Channel | undefined {
    return this.details.of(channelId);
  }

  /** A connection begins. */
  onWelcome({ inboxEpoch, inboxSequence, resetReason }: Welcome): void {
    this.check.stop();
    this.live.onWelcome();
    const position = { epoch: inboxEpoch, sequence: inboxSequence };
    if (resetReason !== ResetReason.UNSPECIFIED) {
      this.reset(position);
    } else {
      // The inbox has everything after all.
      if (this.rebuilding) this.endRebuilding(this.rebuilding);
      this.progress.begin(position);
    }
    this.keepPosition();
  }

  /** The inbox goes on after a hole. */
  onReset({ inboxSequence }: Reset): void {
    this.reset({ epoch: this.progress.epoch, sequence: inboxSequence });
    this.keepPosition();
  }

  /** New entries. */
  onDeliveries({ deliveries }: Deliveries): void {
    for (const { inboxSequence, prevInboxSequence, entry } of deliveries) {
      const { received } = this.progress;
      if (inboxSequence <= received) continue;
      if (prevInboxSequence !== received) {
        this.options.refuse(`inbox entry ${prevInboxSequence} was not delivered`);
        return;
      }
      for (const { item } of entry?.items ?? []) {
        // What a newer service stores besides these is for newer clients.
        if (item.case === "message") this.sync.receive(item.value, prevInboxSequence);
        else if (item.case === "revision") this.sync.revise(item.value, prevInboxSequence);
      }
      this.progress.receive(inboxSequence);
    }
    this.keepPosition();
  }

  /** What LIVE channels brought, or lack. */
  onChannelDeliveries(deliveries: ChannelDeliveries): void {
    this.live.onDeliveries(deliveries);
  }

  /** The edge has answered a wish to follow LIVE channels. */
  onFollowChannelsResult(result: FollowChannelsResult): void {
    this.live.onResult(result);
  }

  /** Everything that the inbox had has come. */
  onCaughtUp(): void {
    this.check.start();
    this.live.onCaughtUp();
    this.options.events.emit("caughtUp", undefined);
  }

  /** Acknowledges what is processed, where that has not been done. */
  acknowledge(): void {
    if (!this.ackTimer) return;
    this.ackTimer.cancel();
    this.ackTimer = undefined;
    // Until a rebuilding is done the position is one of another time.
    if (this.rebuilding) return;
    const { curMaxMessageId } = this;
    const channels = [...this.delivered].slice(0, ackChannelsMax);
    const isSent = this.options.ack({
      inboxSequence: this.kept.sequence,
      curMaxMessageId,
      channels: channels.map(([channelId, messageId]) => ({ channelId, messageId })),
    });
    if (!isSent) return;
    for (const [channelId] of channels) this.delivered.delete(channelId);
    if (this.delivered.size > 0) this.acknowledgeSoon();
  }

  private acknowledgeSoon(): void {
    this.ackTimer ??= this.options.timers.setTimer(ackDelayMs, () => this.acknowledge());
  }

  private close(): void {
    this.check.stop();
    this.ackTimer?.cancel();
  }

  private onMessage(message: Message): void {
    const { channelId, messageId, senderId } = message;
    if (messageId > this.curMaxMessageId) this.curMaxMessageId = messageId;
    if (senderId !== this.options.userId) this.delivered.set(channelId, messageId);
    this.details.apply(message);
    this.options.onMessage(message);
  }

  private reset(position: InboxPosition): void {
    this.rebuilding?.abort();
    const rebuilding = new AbortController();
    this.rebuilding = rebuilding;
    this.progress.pin();
    this.progress.begin(position);
    this.options.events.emit("reset", undefined);
    const signal = AbortSignal.any([rebuilding.signal, this.options.signal]);
    const { connected, messages, timers, random } = this.options;
    rebuild({
      sync: this.sync,
      listChannels: () => this.listChannels(signal),
      async syncChannels(positions, signal) {
        await connected(signal);
        return messages.syncChannels({ positions }, { signal });
      },
      timers,
      random,
      signal,
    }).then(
      () => this.endRebuilding(rebuilding),
      // It fails only by its signal: the next reset begins anew.
      () => {},
    );
  }

  private endRebuilding(rebuilding: AbortController): void {
    rebuilding.abort();
    if (this.rebuilding !== rebuilding) return;
    this.rebuilding = undefined;
    this.progress.unpin();
    this.keepPosition();
    this.options.events.emit("rebuilt", undefined);
  }

  private async *listChannels(signal: AbortSignal): AsyncGenerator<Channel> {
    const { connected, messages, timers, random } = this.options;
    const backoff = new Backoff(random);
    for (let pageToken: string | undefined = ""; pageToken !== undefined; ) {
      try {
        await connected(signal);
        const page = await messages.listChannels({ pageSize: 200, pageToken }, { signal });
        this.options.onListed(page);
        for (const channel of page.channels) {
          this.details.take(channel);
          yield channel;
        }
        pageToken = page.nextPageToken || undefined;
      } catch (error) {
        await sleep(timers, backoff.next(errorRetryAfterMs(error)), signal);
      }
    }
  }

  /** Keeps how far the inbox is processed, and acknowledges it soon. */
  private keepPosition(): void {
    const { position } = this.progress;
    if (position.epoch === this.kept.epoch && position.sequence === this.kept.sequence) return;
    this.kept = position;
    this.options.state.put(positionEntry(position, this.curMaxMessageId));
    this.acknowledgeSoon();
  }
}
