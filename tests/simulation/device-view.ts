/**
 * What a device has of one channel, and what it knows that it lacks: by `channel_sequence` alone,
 * as the contract tells clients to.
 */
import type { Message } from "../../gen/parley/message/v1/message_pb.js";

/** Items that a device knows it may lack, both ends inclusive. */
export interface Gap {
  from: number;
  /** Infinity: up to the end of the history. */
  to: number;
}

/** One channel on one device. */
export class DeviceView {
  readonly channelId: string;
  readonly items = new Map<number, Message>();
  gaps: Gap[] = [];
  /** The greatest `channel_sequence` it has. */
  max = 0;
  repairing = false;

  constructor(channelId: string) {
    this.channelId = channelId;
  }

  /** Takes an item; one that it has already is a repetition. Returns what it had instead. */
  take(message: Message): Message | undefined {
    const { channelSequence: sequence } = message;
    const had = this.items.get(sequence);
    if (had && !had.bodyOmitted) return had;
    this.items.set(sequence, message);
    if (message.bodyOmitted && !had) this.gaps.push({ from: sequence, to: sequence });
    if (sequence > this.max + 1) {
      // An unknown channel is read to its end: the user may have left it since.
      const to = this.max === 0 ? Number.POSITIVE_INFINITY : sequence - 1;
      this.gaps.push({ from: this.max + 1, to });
    }
    this.max = Math.max(this.max, sequence);
    return undefined;
  }

  /** Flags everything after what it has, up to the end of the history. */
  flagRest(): void {
    this.gaps.push({ from: this.max + 1, to: Number.POSITIVE_INFINITY });
  }

  /** Whether it knows that it may lack the item. */
  isFlagged(sequence: number): boolean {
    return this.gaps.some(({ from, to }) => from <= sequence && sequence <= to);
  }

  /** The id of the newest item before a gap: from where to read. */
  idBefore(gap: Gap): bigint {
    let best: Message | undefined;
    for (const item of this.items.values()) {
      if (item.channelSequence >= gap.from) continue;
      if (!best || item.channelSequence > best.channelSequence) best = item;
    }
    return best?.messageId ?? 0n;
  }

  /** The gap has been looked into: what can be had has been taken. */
  close(gap: Gap): void {
    this.gaps = this.gaps.filter((other) => other !== gap);
  }
}
