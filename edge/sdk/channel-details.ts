import { create, equals } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type Channel,
  ChannelSchema,
  type Message,
} from "../../gen/parley/message/v1/message_pb.js";
import { Backoff } from "./backoff.ts";
import { membershipAfter } from "./channel-state.ts";
import { errorRetryAfterMs } from "./errors.ts";
import { sleep, type Timers } from "./timers.ts";

/** What the details work with. */
export interface ChannelDetailsOptions {
  userId: string;
  /** Reads a channel once; waits for a connection as long as it takes. */
  getChannel(channelId: string, signal: AbortSignal): Promise<Channel | undefined>;
  /** A channel's details are known, or are others than before. */
  onChange(channel: Channel): void;
  timers: Timers;
  random: () => number;
  signal: AbortSignal;
}

/**
 * What channels are called, how they are set and how many members they have: as they were read
 * last, and as messages since then have changed it. Of a channel that the user has left, as it was
 * then; who comes back reads it again.
 */
export class ChannelDetails {
  private readonly options: ChannelDetailsOptions;
  private readonly channels: Map<string, Channel>;
  /** Of channels that are not known yet, up to which item messages have come. */
  private readonly heard = new Map<string, number>();
  /** Channels to read. */
  private readonly wanted = new Set<string>();
  /** The one that is being read. */
  private asked: string | undefined;

  /** @param kept of the program's last run */
  constructor(options: ChannelDetailsOptions, kept: readonly Channel[]) {
    this.options = options;
    this.channels = new Map(kept.map((channel) => [channel.channelId, channel]));
  }

  /** One channel; undefined: not read yet. */
  of(channelId: string): Channel | undefined {
    return this.channels.get(channelId);
  }

  /** Takes a channel as it was read. False: messages have come since that may have changed it. */
  take(channel: Channel): boolean {
    const { channelId, lastChannelSequence } = channel;
    const known = this.channels.get(channelId)?.lastChannelSequence ?? this.heard.get(channelId);
    if (known !== undefined && known > lastChannelSequence) return false;
    this.wanted.delete(channelId);
    this.heard.delete(channelId);
    this.put(channel);
    return true;
  }

  /** Takes how many members a channel has. */
  count(channelId: string, memberCount: number): void {
    const known = this.channels.get(channelId);
    if (known) this.put(create(ChannelSchema, { ...known, memberCount }));
  }

  /** Takes what a message says of its channel, which is read where it is not known. */
  apply(message: Message): void {
    const { channelId, channelSequence, messageId: lastMessageId } = message;
    const known = this.channels.get(channelId);
    if (known && channelSequence <= known.lastChannelSequence) return;
    // What was said between two stays is not known.
    const isBack = membershipAfter(message, this.options.userId);
    if (isBack || (!known && this.asked !== channelId)) this.want(channelId);
    if (!known) {
      this.heard.set(channelId, channelSequence);
      return;
    }
    const change = changeBy(message);
    const last = { lastMessageId, lastChannelSequence: channelSequence };
    const channel = create(ChannelSchema, { ...known, ...change, ...last });
    if (change) this.put(channel);
    else this.channels.set(channelId, channel);
  }

  private put(channel: Channel): void {
    const { channelId } = channel;
    const known = this.channels.get(channelId);
    this.channels.set(channelId, channel);
    if (!known || !equals(ChannelSchema, known, channel)) this.options.onChange(channel);
  }

  private want(channelId: string): void {
    this.wanted.add(channelId);
    if (this.asked === undefined) void this.read();
  }

  /** Reads the channels that are wanted, one after the other: lists may bring them meanwhile. */
  private async read(): Promise<void> {
    const { getChannel, timers, random, signal } = this.options;
    const backoff = new Backoff(random);
    for (const channelId of this.wanted) {
      this.wanted.delete(channelId);
      this.asked = channelId;
      let retryAfterMs = 0;
      try {
        const channel = await getChannel(channelId, signal);
        // Where messages have overtaken the answer it is asked for again.
        if (!channel || this.take(channel)) continue;
      } catch (error) {
        if (signal.aborted) return;
        const { code } = ConnectError.from(error);
        // The user has left it, or the edge is an older one.
        if (code === Code.PermissionDenied || code === Code.Unimplemented) {
          this.heard.delete(channelId);
          continue;
        }
        retryAfterMs = errorRetryAfterMs(error);
      }
      this.wanted.add(channelId);
      await sleep(timers, backoff.next(retryAfterMs), signal).catch(() => {});
    }
    this.asked = undefined;
  }
}

/** What a message makes of its channel's details; undefined: nothing. */
function changeBy({ body, sendTime }: Message): Partial<Omit<Channel, "$typeName">> | undefined {
  if (body.case === "membershipChange") {
    const { memberCount } = body.value;
    return memberCount > 0 ? { memberCount } : undefined;
  }
  if (body.case !== "channelChange") return undefined;
  const { change } = body.value;
  if (change.case === "name") return { name: change.value };
  if (change.case === "mode") return { mode: change.value };
  if (change.case === "deletion" && sendTime) return { deleteTime: sendTime };
  if (change.case !== "settings") return undefined;
  const { $typeName, ...settings } = change.value;
  return settings;
}
