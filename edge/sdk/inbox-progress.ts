import type { InboxPosition } from "./device-entries.ts";

/**
 * How far the inbox is processed, which is less than what was received while messages are held
 * back or a rebuilding is under way: what Hello and Ack tell, so that nothing is lost where the
 * program ends meanwhile.
 */
export class InboxProgress {
  private currentEpoch: string;
  private receivedSequence: bigint;
  /** By channel, the entry before the first one with a message that is held back. */
  private readonly held = new Map<string, bigint>();
  private pinned: InboxPosition | undefined;

  constructor({ epoch, sequence }: InboxPosition) {
    this.currentEpoch = epoch;
    this.receivedSequence = sequence;
  }

  /** The last entry that came. */
  get received(): bigint {
    return this.receivedSequence;
  }

  /** The epoch of what comes. */
  get epoch(): string {
    return this.currentEpoch;
  }

  /** The last entry that is processed, with all before it. */
  get position(): InboxPosition {
    if (this.pinned) return this.pinned;
    let sequence = this.receivedSequence;
    for (const before of this.held.values()) if (before < sequence) sequence = before;
    return { epoch: this.currentEpoch, sequence };
  }

  /** Entries follow after this one. */
  begin({ epoch, sequence }: InboxPosition): void {
    // Positions of another epoch mean nothing here: what they held back is being rebuilt.
    if (epoch !== this.currentEpoch) this.held.clear();
    this.currentEpoch = epoch;
    this.receivedSequence = sequence;
  }

  /** An entry came. */
  receive(sequence: bigint): void {
    this.receivedSequence = sequence;
  }

  /** A channel holds back a message of the entry after `before`. */
  hold(channelId: string, before: bigint): void {
    const earlier = this.held.get(channelId);
    if (earlier === undefined || before < earlier) this.held.set(channelId, before);
  }

  /** The channel holds back nothing. */
  release(channelId: string): void {
    this.held.delete(channelId);
  }

  /** Keeps the position until {@link unpin}. */
  pin(): void {
    this.pinned ??= this.position;
  }

  /** What the position stood for has been made up for. */
  unpin(): void {
    this.pinned = undefined;
  }
}
