/** What devices say that they have stored, on its way to Message. */
import { create } from "@bufbuild/protobuf";
import { type LinkCursor, LinkCursorSchema } from "../gen/parley/message/v1/message_service_pb.js";
import type { Clock, Timer } from "../mesh/clock.ts";
import type { Identity } from "../mesh/rpc.ts";
import type { SendLinks } from "./send-links.ts";

/** What a device says that it has stored. */
export interface Acked {
  inboxEpoch: string;
  inboxSequence: bigint;
  curMaxMessageId: bigint;
}

/**
 * Tells Message what devices have acknowledged, now and then, all together and only the latest of
 * each: at most one waits per device, and one that is lost is made up for by the next. (A call
 * for each took a third of the CPU at 500 messages a second.)
 */
export class Acks {
  private readonly links: Pick<SendLinks, "markDelivered">;
  private readonly clock: Clock;
  private readonly intervalMs: number;
  private readonly waiting = new Map<string, LinkCursor>();
  private timer: Timer | undefined;

  constructor(links: Pick<SendLinks, "markDelivered">, clock: Clock, intervalMs: number) {
    this.links = links;
    this.clock = clock;
    this.intervalMs = intervalMs;
  }

  /** Takes a device's ack. */
  put({ userId, deviceId }: Identity, cursor: Acked): void {
    this.waiting.set(deviceId, create(LinkCursorSchema, { userId, deviceId, cursor }));
    this.timer ??= this.clock.setTimer(this.intervalMs, () => this.flush());
  }

  /** Hands over all that waits. */
  flush(): void {
    this.timer?.cancel();
    this.timer = undefined;
    if (this.waiting.size === 0) return;
    const cursors = [...this.waiting.values()];
    this.waiting.clear();
    this.links.markDelivered(cursors);
  }
}
