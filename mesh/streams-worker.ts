import { type Clock, sleep } from "./clock.ts";
import type { BatchHandler, Running, StreamEntry, WorkOptions } from "./streams.ts";

/** How soon a failed batch is given again: this pause, doubled each time up to the max. */
const pauseMsMin = 50;
const pauseMsMax = 5_000;
/** See WorkBatch.hold. */
const heldMax = 10_000;

/** What a worker reads, and where its progress is kept. */
export interface WorkerSource {
  /**
   * Entries after the sequence, ascending, as many as are there up to the max; none: [], after
   * which the worker waits to be woken. A source that waits for entries itself ends when the
   * worker is stopped.
   */
  entriesAfter(sequence: number, entriesMax: number): StreamEntry[] | Promise<StreamEntry[]>;
  /** The worker's checkpoint. */
  checkpointOf(name: string): number;
  /** Moves the worker's checkpoint forward; never back. */
  moveCheckpoint(name: string, sequence: number): void;
}

/** Runs the loop of {@link Stream.work} over a shard. */
export class EntryWorker implements Running {
  private readonly clock: Clock;
  private readonly source: WorkerSource;
  private readonly options: WorkOptions;
  private readonly handler: BatchHandler;
  private readonly stopping = new AbortController();
  private readonly finished: Promise<void>;
  /** Whether something came since the last read began. */
  private woken = false;
  private resume: (() => void) | undefined;
  /** Batches that were handled, from the first on that holds the checkpoint. */
  private readonly handled: { last: number; isHeld: boolean }[] = [];

  constructor(clock: Clock, source: WorkerSource, options: WorkOptions, handler: BatchHandler) {
    this.clock = clock;
    this.source = source;
    this.options = options;
    this.handler = handler;
    this.finished = this.run();
  }

  /** There may be more to read. */
  wake(): void {
    this.woken = true;
    this.resume?.();
    this.resume = undefined;
  }

  stop(): Promise<void> {
    this.stopping.abort();
    this.wake();
    return this.finished;
  }

  private async run(): Promise<void> {
    const { name, batchMax } = this.options;
    // Whoever starts the worker gets hold of it before the first batch.
    await undefined;
    let done = await this.retried(() => this.source.checkpointOf(name));
    while (done !== undefined && !this.stopping.signal.aborted) {
      const after = done;
      this.woken = false;
      if (this.handled.length >= heldMax) {
        await this.somethingNew();
        continue;
      }
      const entries = await this.retried(() => this.source.entriesAfter(after, batchMax));
      if (!entries) return;
      if (entries.length === 0) {
        await this.somethingNew();
        continue;
      }
      const last = entries.at(-1)!.sequence;
      let failed = false;
      const held: Promise<void>[] = [];
      const hold = (until: Promise<void>) => void held.push(until);
      const handled = await this.retried(async () => {
        // Another worker of the name may have done them meanwhile.
        if (failed && this.source.checkpointOf(name) >= last) return true;
        failed = true;
        held.length = 0;
        await this.handler(entries, { signal: this.stopping.signal, hold });
        return true;
      }, entries);
      if (!handled) return;
      done = last;
      this.finish(last, held);
    }
  }

  private finish(last: number, held: readonly Promise<void>[]): void {
    const batch = { last, isHeld: held.length > 0 };
    this.handled.push(batch);
    this.moveCheckpoint();
    if (!batch.isHeld) return;
    void Promise.all(held).then(() => {
      batch.isHeld = false;
      if (this.stopping.signal.aborted) return;
      this.moveCheckpoint();
      this.wake();
    });
  }

  /** Up to the first batch that holds it. */
  private moveCheckpoint(): void {
    let last: number | undefined;
    while (this.handled[0]?.isHeld === false) last = this.handled.shift()!.last;
    if (last !== undefined) this.source.moveCheckpoint(this.options.name, last);
  }

  private somethingNew(): Promise<void> {
    if (this.woken) return Promise.resolve();
    return new Promise((resolve) => {
      this.resume = resolve;
    });
  }

  /** Tries until it succeeds; undefined: the worker was stopped first. */
  private async retried<T>(
    attempt: () => T | Promise<T>,
    entries: StreamEntry[] = [],
  ): Promise<T | undefined> {
    const { signal } = this.stopping;
    for (let pauseMs = pauseMsMin; ; pauseMs = Math.min(pauseMsMax, pauseMs * 2)) {
      try {
        return await attempt();
      } catch (error) {
        this.options.onError(error, entries);
      }
      await sleep(this.clock, pauseMs, signal).catch(() => undefined);
      if (signal.aborted) return undefined;
    }
  }
}
