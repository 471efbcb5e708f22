/**
 * What a device has of one channel, and what it knows that it lacks: by `channel_sequence` alone,
 * as the contract tells clients to.
 */
import { revisedMessage } from "../../edge/sdk/revised-message.ts";
import type { Message, Revision } from "../../gen/parley/message/v1/message_pb.js";

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
  /** Revisions that it has taken, and what it has read about otherwise. */
  readonly revisions = new Set<number>();
  private covered: Gap[] = [];
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
    if (had && !isOlder(had, message)) return had;
    this.items.set(sequence, message);
    // In the history a body that is omitted stays so.
    const isLarge = message.bodyOmitted && message.revisionSequence === 0;
    if (isLarge && !had) this.gaps.push({ from: sequence, to: sequence });
    this.pass(sequence);
    return had?.bodyOmitted ? undefined : had;
  }

  /** Takes a revision; one that does not say enough is a gap. */
  revise(revision: Revision, userId: string): void {
    const { channelSequence: sequence, messageChannelSequence } = revision;
    if (this.revisions.has(sequence) || this.isCovered(sequence)) return;
    // What it does depends on what came before it.
    const isNext = sequence === this.max + 1 && this.gaps.length === 0;
    const message = this.items.get(messageChannelSequence);
    const revised = message && isNext ? revisedMessage(message, revision, userId) : undefined;
    if (revised) this.items.set(messageChannelSequence, revised);
    if (isNext && revision.change.case && (revised || !message)) this.revisions.add(sequence);
    else this.gaps.push({ from: sequence, to: sequence });
    this.pass(sequence);
  }

  /** Whether it knows what the item, if it is a revision, has done. */
  isCovered(sequence: number): boolean {
    return this.covered.some(({ from, to }) => from <= sequence && sequence <= to);
  }

  private pass(sequence: number): void {
    if (sequence > this.max + 1) {
      // An unknown channel is read to its end: the user may have left it since.
      const to = this.max === 0 ? Number.POSITIVE_INFINITY : sequence - 1;
      this.gaps.push({ from: this.max + 1, to });
    }
    this.max = Math.max(this.max, sequence);
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

  /** The gap has been looked into: what can be had has been taken, of revisions up to `through`. */
  close(gap: Gap, through: number): void {
    this.gaps = this.gaps.filter((other) => other !== gap);
    const isOpen = gap.to === Number.POSITIVE_INFINITY;
    this.covered.push({ from: gap.from, to: isOpen ? through : gap.to });
    // What came while it read.
    if (isOpen && this.max > through) this.gaps.push({ from: through + 1, to: this.max });
  }
}

function isOlder(had: Message, message: Message): boolean {
  if (had.revisionSequence < message.revisionSequence) return true;
  const isWhole = had.bodyOmitted && !message.bodyOmitted;
  return isWhole && had.revisionSequence === message.revisionSequence;
}
