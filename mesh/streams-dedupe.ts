import type { Clock } from "./clock.ts";

/** How long an id is remembered: the default of NATS' `duplicate_window`. */
const windowMs = 120_000;

/**
 * Remembers under which sequence an id was appended, for two minutes and for the newest
 * `idsMax` ids: some 15 MB at most.
 */
export class DedupeWindow {
  private readonly clock: Clock;
  private readonly idsMax: number;
  /** In the order of their time, so that the first is always the oldest. */
  private readonly remembered = new Map<string, { sequence: number; untilMs: number }>();

  constructor(clock: Clock, idsMax = 100_000) {
    this.clock = clock;
    this.idsMax = idsMax;
  }

  /** The sequence of the entry that was appended with this id; undefined: not known. */
  sequenceOf(id: string): number | undefined {
    const found = this.remembered.get(id);
    return found && found.untilMs > this.clock.monotonicMs() ? found.sequence : undefined;
  }

  /** An entry was appended with this id. */
  remember(id: string, sequence: number): void {
    const nowMs = this.clock.monotonicMs();
    this.remembered.delete(id);
    this.remembered.set(id, { sequence, untilMs: nowMs + windowMs });
    for (const [oldest, { untilMs }] of this.remembered) {
      if (untilMs > nowMs && this.remembered.size <= this.idsMax) break;
      this.remembered.delete(oldest);
    }
  }

  /** It was not appended after all. */
  forget(id: string): void {
    this.remembered.delete(id);
  }
}
