/** What devices say that they have stored, on its way to Message. */
import { create } from "@bufbuild/protobuf";
import type { ChannelDelivered } from "../gen/parley/message/v1/cursor_pb.js";
import {
  type LinkCursor,
  LinkCursorSchema,
  type LinkDelivered,
  LinkDeliveredSchema,
} from "../gen/parley/message/v1/message_service_pb.js";
import type { Clock, Timer } from "../mesh/clock.ts";
import type { Identity } from "../mesh/rpc.ts";
import type { SendLinks } from "./send-links.ts";

/** What a device says that it has stored. */
export interface Acked {
  inboxEpoch: string;
  inboxSequence: bigint;
  curMaxMessageId: bigint;
}

/** How often Message is told what users have of channels: somebody looks at these. */
export const deliveredIntervalMs = 500;
/** Channels that may wait for it, of one user and of all; the next message makes up for the rest. */
export const deliveredPerUserMax = 200;
const deliveredMax = 100_000;

/**
 * Tells Message what devices have acknowledged, now and then, all together and only the latest of
 * each: at most one waits per device, and one that is lost is made up for by the next. (A call
 * for each took a third of the CPU at 500 messages a second.) So it is with what users have of
 * channels, of each of their devices the furthest.
 */
export class Acks {
  private readonly cursors: Latest<LinkCursor>;
  /** By user, then by channel. */
  private readonly delivered: Latest<Map<string, LinkDelivered>>;
  private deliveredCount = 0;

  constructor(
    links: Pick<SendLinks, "markDelivered" | "markChannels">,
    clock: Clock,
    intervalMs: number,
  ) {
    this.cursors = new Latest(clock, intervalMs, (cursors) => links.markDelivered(cursors));
    this.delivered = new Latest(clock, deliveredIntervalMs, (users) => {
      this.deliveredCount = 0;
      links.markChannels(users.flatMap((channels) => [...channels.values()]));
    });
  }

  /** Takes a device's ack. */
  put(
    { userId, deviceId }: Identity,
    cursor: Acked,
    channels: readonly ChannelDelivered[] = [],
  ): void {
    this.cursors.put(deviceId, create(LinkCursorSchema, { userId, deviceId, cursor }));
    if (channels.length === 0) return;
    const own = this.delivered.get(userId) ?? new Map<string, LinkDelivered>();
    this.delivered.put(userId, own);
    for (const channel of channels) {
      const before = own.get(channel.channelId);
      const isFull = own.size >= deliveredPerUserMax || this.deliveredCount >= deliveredMax;
      if (before ? before.channel!.messageId >= channel.messageId : isFull) continue;
      if (!before) this.deliveredCount++;
      own.set(channel.channelId, create(LinkDeliveredSchema, { userId, channel }));
    }
  }

  /** Hands over all that waits. */
  flush(): void {
    this.cursors.flush();
    this.delivered.flush();
  }
}

/** Gathers the latest of each key, and hands all over after an interval. */
class Latest<Value> {
  private readonly clock: Clock;
  private readonly intervalMs: number;
  private readonly handOver: (values: Value[]) => void;
  private readonly waiting = new Map<string, Value>();
  private timer: Timer | undefined;

  constructor(clock: Clock, intervalMs: number, handOver: (values: Value[]) => void) {
    this.clock = clock;
    this.intervalMs = intervalMs;
    this.handOver = handOver;
  }

  get(key: string): Value | undefined {
    return this.waiting.get(key);
  }

  put(key: string, value: Value): void {
    this.waiting.set(key, value);
    this.timer ??= this.clock.setTimer(this.intervalMs, () => this.flush());
  }

  flush(): void {
    this.timer?.cancel();
    this.timer = undefined;
    if (this.waiting.size === 0) return;
    const values = [...this.waiting.values()];
    this.waiting.clear();
    this.handOver(values);
  }
}
