/** Percentiles of durations in little memory, each at most 2 % too large. */
export class Latencies {
  private readonly counts: number[] = [];
  private total = 0;

  /** Counts a duration in milliseconds. */
  add(ms: number): void {
    const bucket = Math.max(0, Math.ceil(Math.log(ms / msMin) / logStep));
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.total++;
  }

  /** The duration that so many per cent don't exceed, in milliseconds; 0: there is none. */
  percentile(percent: number): number {
    let left = Math.ceil((percent / 100) * this.total);
    for (const [bucket, count = 0] of this.counts.entries()) {
      left -= count;
      if (count > 0 && left <= 0)
        return Number((msMin * Math.exp(bucket * logStep)).toPrecision(3));
    }
    return 0;
  }
}

/** What is shorter counts as this. */
const msMin = 0.01;
/** From one bucket's end to the next one's. */
const logStep = Math.log(1.02);
