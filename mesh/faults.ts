/**
 * Decides, each time that something can go wrong, whether it does: by chance from a seeded
 * source, or as a test says. For the wrappers named `with…Faults`; never in a composition root.
 */
export class Faults<Fault extends string> {
  /** How likely each fault is at each opportunity, 0 to 1. May be changed at any time. */
  chances: Partial<Record<Fault, number>>;
  private readonly random: () => number;
  private readonly certain = new Map<Fault, number>();

  /** `random` returns numbers from 0 to below 1; nothing else here is left to chance. */
  constructor(random: () => number, chances: Partial<Record<Fault, number>> = {}) {
    this.random = random;
    this.chances = chances;
  }

  /** Makes a fault happen at its next `times` opportunities. */
  next(fault: Fault, times = 1): void {
    this.certain.set(fault, times);
  }

  /** Whether the fault happens at this opportunity. */
  strikes(fault: Fault): boolean {
    const times = this.certain.get(fault) ?? 0;
    if (times > 0) {
      this.certain.set(fault, times - 1);
      return true;
    }
    const chance = this.chances[fault] ?? 0;
    return chance > 0 && this.random() < chance;
  }

  /** An integer from 0 to `max`, inclusive: how late, how much. */
  upTo(max: number): number {
    return Math.floor(this.random() * (max + 1));
  }
}

/** A source of numbers from 0 to below 1 that a 32-bit seed determines (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
