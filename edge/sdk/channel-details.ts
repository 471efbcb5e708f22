import { create, equals } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type Channel,
  ChannelSchema,
  type Message,
} from "../../gen/parley/message/v1/message_pb.js";
import { Backoff } from "./backoff.ts";
import { errorRetryAfterMs } from "./errors.ts";
import { sleep, type Timers } from "./timers.ts";

/** What the details work with. */
export interface ChannelDetailsOptions {
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
 * then.
 */
export class ChannelDetails {
  private readonly options: ChannelDetailsOptions;
  private readonly channels: Map<string, Channel>;
  /** Channels to read; the first one is being read. */
  private readonly wanted = new Set<string>();

  /** @param kept of the program's last run */
  constructor(options: ChannelDetailsOptions, kept: readonly Channel[]) {
    this.options = options;
    this.channels = new Map(kept.map((channel) => [channel.channelId, channel]));
  }

  /** One channel; undefined: not read yet. */
  of(channelId: string): Channel | undefined {
    return this.channels.get(channelId);
  }

  /** Takes a channel as it was read. */
  take(channel: Channel): void {
    const { channelId } = channel;
    const known = this.channels.get(channelId);
    if (known && known.lastChannelSequence > channel.lastChannelSequence) return;
    this.channels.set(channelId, channel);
    if (!known || !equals(ChannelSchema, known, channel)) this.options.onChange(channel);
  }

  /** Takes how many members a channel has. */
  count(channelId: string, memberCount: number): void {
    const known = this.channels.get(channelId);
    if (known) this.take(create(ChannelSchema, { ...known, memberCount }));
  }

  /** Takes what a message says of its channel, which is read where it is not known. */
  apply(message: Message): void {
    const { channelId, channelSequence, messageId: lastMessageId } = message;
    const known = this.channels.get(channelId);
    if (!known) {
      if (this.wanted.has(channelId)) return;
      this.wanted.add(channelId);
      if (this.wanted.size === 1) void this.read();
      return;
    }
    if (channelSequence <= known.lastChannelSequence) return;
    const change = changeBy(message);
    const last = { lastMessageId, lastChannelSequence: channelSequence };
    const channel = create(ChannelSchema, { ...known, ...change, ...last });
    if (change) this.take(channel);
    else this.channels.set(channelId, channel);
  }

  /** Reads the channels that are wanted, one after the other: lists may bring them meanwhile. */
  private async read(): Promise<void> {
    const { getChannel, timers, random, signal } = this.options;
    const backoff = new Backoff(random);
    for (const channelId of this.wanted) {
      while (this.wanted.has(channelId) && !this.channels.has(channelId)) {
        try {
          const channel = await getChannel(channelId, signal);
          if (channel) this.take(channel);
          this.wanted.delete(channelId);
        } catch (error) {
          if (signal.aborted) return;
          const { code } = ConnectError.from(error);
          // The user has left it, or the edge is an older one.
          if (code === Code.PermissionDenied || code === Code.Unimplemented) {
            this.wanted.delete(channelId);
          } else {
            await sleep(timers, backoff.next(errorRetryAfterMs(error)), signal).catch(() => {});
          }
        }
      }
      this.wanted.delete(channelId);
    }
  }
}

/** What a message makes of its channel's details; undefined: nothing. */
function changeBy({ body }: Message): Partial<Omit<Channel, "$typeName">> | undefined {
  if (body.case === "membershipChange") {
    const { memberCount } = body.value;
    return memberCount > 0 ? { memberCount } : undefined;
  }
  if (body.case !== "channelChange") return undefined;
  const { change } = body.value;
  if (change.case === "name") return { name: change.value };
  if (change.case === "mode") return { mode: change.value };
  if (change.case !== "settings") return undefined;
  const { $typeName, ...settings } = change.value;
  return settings;
}
