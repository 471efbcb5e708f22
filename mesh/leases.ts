/**
 * Numbered slots that one holder has at a time, for long: the worker ids of IdGen.
 */

/** A slot that is held. */
export interface Lease {
  /** The slot, 0 to `slots` - 1. */
  slot: number;
  /** The mark that the slot's last holder left; nothing of it may be used again. */
  highWaterMs: number;
  /** Until when the slot is held, by the lease's own (wall) clock, in ms since 1970. */
  expireTimeMs: number;
  /**
   * Holds the slot for another `durationMs` and stores a new mark. The holder stores a mark
   * before it makes use of what lies below it.
   * @throws LeaseLost when another has the slot; anything else: not known, try again.
   */
  renew(durationMs: number, highWaterMs: number): Promise<void>;
  /** Gives the slot back with its last mark. Never rejects. */
  release(highWaterMs: number): Promise<void>;
}

/** The slot is another's: stop using it at once. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";
}

/** Hands out slots. */
export interface Leases {
  /**
   * Takes a free slot of the `slots` slots of `group`. A slot that was not released stays taken
   * until its lease ends, also when its holder has died.
   * @throws Error when none is free or the store is away: try again.
   */
  acquire(group: string, slots: number, durationMs: number): Promise<Lease>;
}
