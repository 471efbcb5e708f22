import type { Clock } from "./clock.ts";
import {
  type AppendOptions,
  type ReadOptions,
  type StreamEntry,
  type SubjectPage,
  WrongLastSequence,
} from "./streams.ts";
import { DedupeWindow } from "./streams-dedupe.ts";
import { trimEntriesMax } from "./streams-input.ts";
import type { Retention } from "./streams-retention.ts";
import type { EntryWorker, WorkerSource } from "./streams-worker.ts";

interface Stored {
  entry: StreamEntry;
  timeMs: number;
}

/** What a stream in memory holds. All methods do all their work before they return. */
export class MemoryStreamState implements WorkerSource {
  readonly workers = new Set<EntryWorker>();
  /** Told of every entry, and of the sequence before it on its subject. */
  onStored: (entry: StreamEntry, prevSequence: number) => void = () => {};
  private readonly clock: Clock;
  private readonly retention: Retention;
  private readonly dedupe: DedupeWindow;
  private lastSequence = 0;
  private lastTimeMs = 0;
  /** All entries; a removed one leaves a hole. The first is number `removedThrough` + 1. */
  private stored: (Stored | undefined)[] = [];
  private removedThrough = 0;
  private readonly subjects = new Map<string, StreamEntry[]>();
  private readonly checkpoints = new Map<string, number>();

  constructor(clock: Clock, retention: Retention) {
    this.clock = clock;
    this.retention = retention;
    this.dedupe = new DedupeWindow(clock);
  }

  /** @throws WrongLastSequence */
  append(subject: string, data: Uint8Array, options: AppendOptions): number {
    const { expectedLastSequence, dedupeId } = options;
    const repeated = dedupeId === undefined ? undefined : this.dedupe.sequenceOf(dedupeId);
    if (repeated !== undefined) return repeated;
    const prevSequence = this.last(subject)?.sequence ?? 0;
    if (expectedLastSequence !== undefined && expectedLastSequence !== prevSequence) {
      throw new WrongLastSequence(
        `the last entry of ${subject} is ${prevSequence}, not ${expectedLastSequence}`,
      );
    }
    const entry: StreamEntry = { sequence: ++this.lastSequence, subject, data };
    this.lastTimeMs = this.timeMs();
    this.stored.push({ entry, timeMs: this.lastTimeMs });
    this.entriesOf(subject).push(entry);
    if (dedupeId !== undefined) this.dedupe.remember(dedupeId, entry.sequence);
    this.retain(subject);
    for (const worker of this.workers) worker.wake();
    this.onStored(entry, prevSequence);
    return entry.sequence;
  }

  read(subject: string, bounds: Required<ReadOptions>): SubjectPage {
    const all = this.subjects.get(subject) ?? [];
    const entries: StreamEntry[] = [];
    let bytes = 0;
    for (const entry of all) {
      if (entry.sequence < bounds.fromSequence) continue;
      if (entry.sequence > bounds.toSequence) break;
      if (entries.length === bounds.limit || bytes > bounds.bytesMax) {
        return { entries, more: true };
      }
      entries.push(entry);
      bytes += entry.data.length;
    }
    return { entries, more: false };
  }

  last(subject: string): StreamEntry | undefined {
    return this.subjects.get(subject)?.at(-1);
  }

  entriesAfter(sequence: number, entriesMax: number): StreamEntry[] {
    const entries: StreamEntry[] = [];
    const from = Math.max(0, sequence - this.removedThrough);
    for (let i = from; i < this.stored.length && entries.length < entriesMax; i++) {
      const stored = this.stored[i];
      if (stored) entries.push(stored.entry);
    }
    return entries;
  }

  checkpointOf(name: string): number {
    return this.checkpoints.get(name) ?? 0;
  }

  moveCheckpoint(name: string, sequence: number): void {
    this.checkpoints.set(name, Math.max(sequence, this.checkpointOf(name)));
  }

  trim(olderThanMs: number, workers: readonly string[]): number {
    const done = Math.min(this.lastSequence, ...workers.map((name) => this.checkpointOf(name)));
    const firstUndone = this.stored[done - this.removedThrough];
    const untilMs = Math.min(this.timeMs(), firstUndone?.timeMs ?? Number.POSITIVE_INFINITY);
    return this.removeFront(untilMs - olderThanMs, done, trimEntriesMax);
  }

  private retain(subject: string): void {
    const { entriesPerSubjectMax, ageMaxMs } = this.retention;
    this.removeFront(this.timeMs() - ageMaxMs, this.lastSequence - 1, trimEntriesMax);
    const entries = this.entriesOf(subject);
    while (entries.length > entriesPerSubjectMax) this.remove(entries[0]!);
  }

  /** Now, as the wall clock has it, but that it never steps back. */
  private timeMs(): number {
    return Math.max(this.lastTimeMs, this.clock.nowMs());
  }

  private removeFront(beforeMs: number, upTo: number, entriesMax: number): number {
    let removed = 0;
    while (this.stored.length > 0 && this.removedThrough < upTo && removed < entriesMax) {
      const first = this.stored[0];
      if (first) {
        if (first.timeMs >= beforeMs) break;
        this.remove(first.entry);
        removed++;
      }
      this.stored.shift();
      this.removedThrough++;
    }
    return removed;
  }

  /** Removes an entry that is its subject's oldest. */
  private remove(entry: StreamEntry): void {
    this.stored[entry.sequence - this.removedThrough - 1] = undefined;
    const entries = this.entriesOf(entry.subject);
    entries.shift();
    if (entries.length === 0) this.subjects.delete(entry.subject);
  }

  private entriesOf(subject: string): StreamEntry[] {
    let entries = this.subjects.get(subject);
    if (!entries) {
      entries = [];
      this.subjects.set(subject, entries);
    }
    return entries;
  }
}
