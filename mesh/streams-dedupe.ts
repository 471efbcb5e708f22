import type { Clock } from "./clock.ts";
import { RecentMap } from "./recent-map.ts";

/** How long an id is remembered: the default of NATS' `duplicate_window`. */
const windowMs = 120_000;

/** How many ids are remembered at most: some 15 MB. */
const idsMax = 100_000;

/** Remembers under which sequence an id was appended. */
export class DedupeWindow {
  private readonly clock: Clock;
  private readonly remembered = new RecentMap<string, { sequence: number; untilMs: number }>(
    idsMax,
  );

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** The sequence of the entry that was appended with this id; undefined: not known. */
  sequenceOf(id: string): number | undefined {
    const found = this.remembered.get(id);
    return found && found.untilMs > this.clock.monotonicMs() ? found.sequence : undefined;
  }

  /** An entry was appended with this id. */
  remember(id: string, sequence: number): void {
    this.remembered.set(id, { sequence, untilMs: this.clock.monotonicMs() + windowMs });
  }

  /** It was not appended after all. */
  forget(id: string): void {
    this.remembered.delete(id);
  }
}
