/**
 * Every channel's messages in order and once, whatever arrives. A message that does not follow
 * the last one is held back while the part between is read from the history; repetitions are
 * dropped. Revisions stand in the same order. Gaps, bodies that were left out, a device that was away
 * for too long and the check against the history are all one thing: reading which messages were
 * revised since the last item known, then what follows the last message known.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import type { ChannelDeliveries } from "../../gen/parley/edge/v1/frame_pb.js";
import type { Channel, Message, Revision } from "../../gen/parley/message/v1/message_pb.js";
import { MessageOrder } from "../../gen/parley/message/v1/message_service_pb.js";
import type { ChannelUpdate } from "../../gen/parley/message/v1/sync_pb.js";
import { Backoff } from "./backoff.ts";
import { ChannelState, type KnownChannel, membershipAfter } from "./channel-state.ts";
import type { ChannelSyncOptions } from "./channel-sync-options.ts";
import type { ChannelPosition } from "./device-entries.ts";
import { errorReason, errorRetryAfterMs } from "./errors.ts";
import { sleep } from "./timers.ts";

const pageSize = 200;
/** Reads after which a message that the inbox names and the history lacks is given up. */
const fruitlessReadsMax = 5;

/** All channels of one device. */
export class ChannelSync {
  private readonly options: ChannelSyncOptions;
  private readonly channels = new Map<string, ChannelState>();

  /** @param known how far the device was at the end of its last run */
  constructor(options: ChannelSyncOptions, known: readonly ChannelPosition[]) {
    this.options = options;
    for (const position of known) {
      this.channels.set(position.channelId, new ChannelState(position));
    }
  }

  /** All channels, those with the newest messages first. */
  known(): KnownChannel[] {
    const known = [...this.channels.values()];
    return known.sort((a, b) => (a.lastMessageId > b.lastMessageId ? -1 : 1));
  }

  /** One channel; undefined: the device has not heard of it. */
  of(channelId: string): KnownChannel | undefined {
    return this.channels.get(channelId);
  }

  /** Takes a message from the inbox entry that follows `prevInboxSequence`. */
  receive(message: Message, prevInboxSequence: bigint): void {
    const channel = this.channelOf(message);
    if (message.channelSequence <= channel.lastChannelSequence) {
      channel.duplicates++;
      return;
    }
    if (!message.bodyOmitted && message.channelSequence === channel.lastChannelSequence + 1) {
      this.deliver(channel, message);
      this.drain(channel, 0n);
      return;
    }
    if (!channel.reading) channel.gaps++;
    channel.hold(message);
    this.options.onHeld(channel.channelId, prevInboxSequence);
    void this.read(channel);
  }

  /** Takes a revision from the inbox entry that follows `prevInboxSequence`. */
  revise(revision: Revision, prevInboxSequence: bigint): void {
    const { channelId, channelSequence } = revision;
    const channel = this.channels.get(channelId);
    // What comes before the channel's first message is in the history.
    if (!channel) return;
    if (channelSequence <= channel.lastChannelSequence) {
      channel.duplicates++;
      return;
    }
    const isNext = channelSequence === channel.lastChannelSequence + 1;
    if (isNext && revision.change.case && this.options.onRevision(revision)) {
      this.moveOn(channel, channelSequence);
      this.drain(channel, 0n);
      return;
    }
    if (!channel.reading && !isNext) channel.gaps++;
    channel.wantedSequence = Math.max(channel.wantedSequence, channelSequence);
    this.options.onHeld(channelId, prevInboxSequence);
    void this.read(channel);
  }

  /**
   * Takes one of the user's channels that the device should know. Where it does not, its messages
   * begin after the last one, or with the first one that the inbox brings.
   */
  list({ channelId, lastMessageId, lastChannelSequence }: Channel): void {
    const known = this.channels.get(channelId);
    if (known) {
      known.member = true;
      return;
    }
    const channel = new ChannelState({
      channelId,
      lastMessageId,
      lastChannelSequence,
      member: true,
    });
    channel.isOnlyListed = true;
    this.channels.set(channelId, channel);
    this.options.onPosition(channel);
    if (lastMessageId > 0n) this.options.onBaseline({ channelId, messageId: lastMessageId });
  }

  /**
   * Reads what follows the last message, if the channel as it is says that there is something.
   * @returns whether the device knows the channel
   */
  async check({ channelId, lastChannelSequence }: Channel): Promise<boolean> {
    const channel = this.channels.get(channelId);
    if (channel && lastChannelSequence > channel.lastChannelSequence) await this.read(channel);
    return channel !== undefined;
  }

  /** Reads what follows the last message, trying until it can be read, or until all is ended. */
  async complete(channelId: string): Promise<void> {
    const channel = this.channels.get(channelId);
    if (!channel) return;
    channel.incomplete = true;
    await this.read(channel);
  }

  /** The same from the newest page on: what is before that is left to the history. */
  async beginAnew(channelId: string): Promise<void> {
    const channel = this.channels.get(channelId);
    if (channel) channel.isFarBehind = true;
    await this.complete(channelId);
  }

  /** Takes what a channel has got since the device's position, all of it up to `channelSequence`. */
  update(update: ChannelUpdate): void {
    const { channelId, messages, revisedMessages, channelSequence, member } = update;
    const channel = this.channels.get(channelId);
    if (!channel) return;
    this.tellRevised(channel, revisedMessages);
    this.merge(channel, messages);
    this.drain(channel, messages.at(-1)?.messageId ?? 0n);
    // The inbox knows more by now, whether the user is a member too.
    if (channelSequence > 0 && channelSequence < channel.lastChannelSequence) return;
    const isMore = channelSequence > channel.lastChannelSequence || member !== channel.member;
    if (!isMore) return;
    // What is left is not shown to this user.
    channel.member = member;
    channel.lastChannelSequence = Math.max(channelSequence, channel.lastChannelSequence);
    this.options.onPosition(channel);
    this.drain(channel, 0n);
  }

  /**
   * Takes what a LIVE channel brings; it leaves out what is not shown.
   * @returns whether it continues what the device has
   */
  receiveLive({
    channelId,
    prevChannelSequence,
    channelSequence,
    items,
  }: ChannelDeliveries): boolean {
    const channel = this.channels.get(channelId);
    if (!channel || channel.lacksSomething) return false;
    if (prevChannelSequence > channel.lastChannelSequence) return false;
    channel.isOnlyListed = false;
    for (const { item } of items) {
      if (!item.case || item.value.channelSequence <= channel.lastChannelSequence) continue;
      if (item.case === "message") this.deliver(channel, item.value);
      else if (this.options.onRevision(item.value))
        this.moveOn(channel, item.value.channelSequence);
      else return false;
    }
    if (channelSequence > channel.lastChannelSequence) this.moveOn(channel, channelSequence);
    return true;
  }

  /** The message's channel, which begins with it where it has not been heard of. */
  private channelOf(message: Message): ChannelState {
    const { channelId, prevMessageId, channelSequence } = message;
    const known = this.channels.get(channelId);
    const wasListed = known?.isOnlyListed === true;
    if (wasListed) known.isOnlyListed = false;
    if (known && !(wasListed && channelSequence <= known.lastChannelSequence)) return known;
    const position = {
      channelId,
      lastMessageId: prevMessageId,
      lastChannelSequence: channelSequence - 1,
      member: true,
    };
    const channel = Object.assign(known ?? new ChannelState(position), position);
    this.channels.set(channelId, channel);
    this.options.onPosition(channel);
    // Who is a member from this message on misses nothing; anybody else what is before it.
    const messageId = membershipAfter(message, this.options.userId) ? 0n : prevMessageId;
    if (wasListed || messageId > 0n) this.options.onBaseline({ channelId, messageId });
    return channel;
  }

  /** The device has everything up to an item. */
  private moveOn(channel: ChannelState, channelSequence: number): void {
    channel.lastChannelSequence = channelSequence;
    this.options.onPosition(channel);
  }

  private deliver(channel: ChannelState, message: Message): void {
    channel.isOnlyListed = false;
    channel.lastMessageId = message.messageId;
    channel.lastChannelSequence = message.channelSequence;
    channel.member = membershipAfter(message, this.options.userId) ?? channel.member;
    this.options.onPosition(channel);
    this.options.onMessage(message);
  }

  /**
   * Delivers what is held and follows, or has nothing readable before it up to `completeTo` and
   * nothing untold up to the item `through`.
   */
  private drain(
    channel: ChannelState,
    completeTo: bigint,
    through = Number.POSITIVE_INFINITY,
  ): void {
    const { held } = channel;
    while (held.length > 0) {
      const { channelSequence, messageId } = held[0]!;
      const follows = channelSequence <= channel.lastChannelSequence + 1;
      if (!follows && (messageId > completeTo || channelSequence > through)) break;
      const message = held.shift()!;
      if (channelSequence > channel.lastChannelSequence) this.deliver(channel, message);
    }
    if (!channel.lacksSomething) this.options.onReleased(channel.channelId);
  }

  /** Reads a channel's history to its end, at once for all who ask meanwhile. */
  private read(channel: ChannelState): Promise<void> {
    channel.reading ??= this.readToEnd(channel);
    return channel.reading;
  }

  private async readToEnd(channel: ChannelState): Promise<void> {
    const { timers, random, signal } = this.options;
    const backoff = new Backoff(random);
    let fruitlessReads = 0;
    try {
      for (;;) {
        const { wantedMessageId, lastMessageId, incomplete } = channel;
        const { atEnd, retryAfterMs } = await this.readPages(channel);
        if (atEnd && incomplete) channel.incomplete = false;
        if (!channel.lacksSomething) return;
        if (atEnd && channel.lastMessageId > lastMessageId) continue;
        // The history ends before what was wanted when it was read. It never should.
        const fruitless = atEnd && channel.wantedMessageId === wantedMessageId;
        if (fruitless && ++fruitlessReads === fruitlessReadsMax) this.giveUp(channel);
        else await sleep(timers, backoff.next(retryAfterMs), signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      channel.reading = undefined;
    }
  }

  /** Reads pages until the end of the history, or of what can be read now. */
  private async readPages(channel: ChannelState): Promise<Read> {
    try {
      if (channel.isFarBehind && !(await this.readNewest(channel))) return readLater;
      return await this.readOn(channel);
    } catch (error) {
      if (this.options.signal.aborted) throw error;
      if (errorReason(error) === "CHANNEL_DELETED") {
        channel.member = false;
        this.options.onPosition(channel);
      }
      if (ConnectError.from(error).code === Code.PermissionDenied) {
        this.giveUp(channel);
        return { atEnd: true, retryAfterMs: 0 };
      }
      return { atEnd: false, retryAfterMs: errorRetryAfterMs(error) };
    }
  }

  /** Makes the newest page the next that the device is told of. False: it can't be read now. */
  private async readNewest(channel: ChannelState): Promise<boolean> {
    const { channelId } = channel;
    const order = MessageOrder.NEWEST_FIRST;
    const start = { case: undefined };
    const request = { channelId, pageSize, pageToken: "", order, start };
    const { messages, degraded } = await this.options.listMessages(request, this.options.signal);
    if (degraded) return false;
    channel.isFarBehind = false;
    const oldest = messages.at(-1);
    if (!oldest || oldest.channelSequence <= channel.lastChannelSequence) return true;
    channel.lastMessageId = oldest.prevMessageId;
    channel.lastChannelSequence = oldest.channelSequence - 1;
    this.options.onPosition(channel);
    this.options.onBaseline({ channelId, messageId: oldest.prevMessageId });
    this.merge(channel, messages.toReversed());
    this.drain(channel, messages[0]!.messageId);
    return true;
  }

  private async readOn(channel: ChannelState): Promise<Read> {
    const { channelId } = channel;
    const through = await this.readRevised(channel);
    if (through === undefined) return readLater;
    const order = MessageOrder.OLDEST_FIRST;
    const start = { case: "afterMessageId", value: channel.lastMessageId } as const;
    for (let pageToken = ""; ; ) {
      const wanted = channel.wantedMessageId;
      const after = channel.lastMessageId;
      const request = { channelId, pageSize, pageToken, order, start };
      const page = await this.options.listMessages(request, this.options.signal);
      this.merge(channel, page.messages);
      const last = page.messages.at(-1)?.messageId ?? 0n;
      const more = page.nextPageToken !== "";
      if (page.degradedRanges.some(({ maxMessageId }) => maxMessageId > after)) {
        this.drain(channel, 0n);
        return readLater;
      }
      this.drain(channel, more || last > wanted ? last : wanted, through);
      if (!more) {
        this.advance(channel, through);
        return { atEnd: true, retryAfterMs: 0 };
      }
      pageToken = page.nextPageToken;
    }
  }

  /**
   * Tells which of the messages told of were revised after the last item.
   * @returns up to which item that is all; undefined: it can't be read now.
   */
  private async readRevised(channel: ChannelState): Promise<number | undefined> {
    const { channelId, lastChannelSequence: afterChannelSequence } = channel;
    for (let pageToken = ""; ; ) {
      const request = { channelId, afterChannelSequence, pageSize, pageToken };
      const page = await this.options.listRevisedMessages(request, this.options.signal);
      this.tellRevised(channel, page.messages);
      if (page.degraded) return undefined;
      if (page.nextPageToken === "") return page.throughChannelSequence;
      pageToken = page.nextPageToken;
    }
  }

  /** What came after is told of as it is now anyway, and what was revised before has been told. */
  private tellRevised(channel: ChannelState, messages: readonly Message[]): void {
    for (const message of messages) {
      const isTold = message.messageId <= channel.lastMessageId;
      if (isTold && message.revisionSequence > channel.lastChannelSequence) {
        this.options.onRevised(message);
      }
    }
  }

  /** Everything up to an item is told of, unless a message is still awaited. */
  private advance(channel: ChannelState, through: number): void {
    if (channel.wantedMessageId > channel.lastMessageId) return;
    if (channel.lastChannelSequence >= through) return;
    channel.lastChannelSequence = through;
    this.options.onPosition(channel);
    this.drain(channel, 0n);
  }

  private merge(channel: ChannelState, messages: readonly Message[]): void {
    // What was told meanwhile, from elsewhere, may have been told as it was before.
    this.tellRevised(channel, messages);
    for (const message of messages) {
      if (message.channelSequence <= channel.lastChannelSequence) continue;
      if (channel.insert(message)) channel.repaired++;
    }
  }

  /** Tells what there is, with a hole in it, rather than nothing any more. */
  private giveUp(channel: ChannelState): void {
    channel.incomplete = false;
    channel.wantedMessageId = 0n;
    channel.lastChannelSequence = Math.max(channel.lastChannelSequence, channel.wantedSequence);
    this.drain(channel, channel.held.at(-1)?.messageId ?? 0n);
  }
}

/** How a reading of the history has ended. */
interface Read {
  /** Whether it was at the history's end. */
  atEnd: boolean;
  /** How long the server asks to wait. */
  retryAfterMs: number;
}

const readLater: Read = { atEnd: false, retryAfterMs: 0 };
