/**
 * Numbered slots that one holder has at a time, for long: the worker ids of IdGen.
 */

/** A slot that is held. */
export interface Lease {
  /** The slot, 0 to `slots` - 1. */
  slot: number;
  /**
   * Nothing up to this time, in ms since 1970, may be used again: the mark that the slot's last
   * holder left or, where it did not release the slot, the end of its lease if that is later.
   * 0: nobody has had the slot.
   */
  highWaterMs: number;
  /**
   * Until when the slot is held, by the lease's own (wall) clock, in ms since 1970. It is also
   * a mark: the holder may use what lies up to it. Moves with each renewal.
   */
  expireTimeMs: number;
  /**
   * Holds the slot for `durationMs` from now, or for less, and stores a mark: what the holder
   * has used. A mark below an earlier one changes nothing.
   * @throws LeaseLost when another has the slot; anything else: not known, try again.
   */
  renew(durationMs: number, highWaterMs: number): Promise<void>;
  /** Gives the slot back with a last mark; it no longer counts when it ends. Never rejects. */
  release(highWaterMs: number): Promise<void>;
}

/** The slot is another's: stop using it at once. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";
}

/** Hands out slots. */
export interface Leases {
  /**
   * Takes a free slot of the `slots` slots of `group` for `durationMs`, or for less. A slot that
   * was not released stays taken until its lease ends, also when its holder has died (unless the
   * adapter can prove that it has).
   * @throws Error when none is free or the store is away: try again.
   */
  acquire(group: string, slots: number, durationMs: number): Promise<Lease>;
}
