import type { Logger } from "../../../mesh/logger.ts";
import type { Metrics } from "../../../mesh/metrics.ts";
import type { Stream, StreamEntry } from "../../../mesh/streams.ts";

/** What telling of them needs. */
export interface IndexLossesDependencies {
  log: Stream;
  logger: Logger;
  metrics?: Metrics;
}

/**
 * What the search index will not hear of from the log: a log that is nearly full does not wait for
 * it, and is trimmed. A rebuild of the index brings it in.
 */
export class IndexLosses {
  private readonly worker: string;
  private readonly deps: IndexLossesDependencies;
  /** Of each shard, up to where this process has indexed it. */
  private readonly indexedThrough = new Map<string, number>();
  private readonly told = new Set<string>();

  /** @param worker whose checkpoint says what is indexed */
  constructor(worker: string, deps: IndexLossesDependencies) {
    this.worker = worker;
    this.deps = deps;
  }

  /**
   * How many entries are missing between what is indexed and these. A checkpoint that is stale
   * makes it too many: a false alarm, which costs a rebuild.
   * @throws StreamUnavailable
   */
  async before(entries: readonly StreamEntry[]): Promise<number> {
    const { subject, sequence } = entries[0]!;
    const { log } = this.deps;
    const mine = this.indexedThrough.get(log.epoch(subject)) ?? 0;
    const all = await log.checkpoint(this.worker, subject);
    return Math.max(0, sequence - 1 - Math.max(mine, all));
  }

  /** These are indexed, and so many entries were lost: all are counted, a shard's first logged. */
  indexed(entries: readonly StreamEntry[], lost: number): void {
    const { log, logger, metrics } = this.deps;
    const last = entries.at(-1)!;
    const shard = log.epoch(last.subject);
    this.indexedThrough.set(shard, last.sequence);
    if (lost === 0) return;
    const help = "Entries that were trimmed before they were in the search index: rebuild it.";
    metrics?.counter("parley_index_lost_total", help).inc(lost);
    if (this.told.has(shard)) return;
    this.told.add(shard);
    logger.error({ event: "index_incomplete", shard, lost, remedy: "parley rebuild search" });
  }
}
