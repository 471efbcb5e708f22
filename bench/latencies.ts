import type { Figure } from "./scenario.ts";

/** Durations, all of them kept: percentiles are exact. 8 bytes each. */
export class Latencies {
  private values = new Float64Array(65_536);
  private count = 0;

  /** Adds a duration in milliseconds. */
  add(ms: number): void {
    if (this.count === this.values.length) {
      const larger = new Float64Array(this.count * 2);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[this.count++] = ms;
  }

  /** Figures of the percentiles; `aims` by percentile ("50": "at most 2"). */
  figures(name: string, percentiles: readonly number[], aims: Record<string, string> = {}) {
    const sorted = this.values.slice(0, this.count).sort();
    return percentiles.map((percentile): Figure => {
      // The nearest-rank definition: the smallest value that so many per cent don't exceed.
      const rank = Math.max(1, Math.ceil((percentile / 100) * sorted.length));
      const value = sorted[rank - 1] ?? Number.NaN;
      const aim = aims[String(percentile)];
      return { name: `${name}, p${percentile}`, value, unit: "ms", ...(aim && { aim }) };
    });
  }
}
