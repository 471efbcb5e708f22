import type { Clock } from "./clock.ts";
import { integerKey, type LmdbDatabase, type LmdbEnvironment, readInteger } from "./lmdb.ts";
import type { GroupCommit, GroupedWrite } from "./lmdb-group-commit.ts";
import {
  type AppendOptions,
  type BatchHandler,
  type ReadOptions,
  type Running,
  type Stream,
  type StreamEntry,
  StreamUnavailable,
  type SubjectPage,
  type TrimOptions,
  type WorkOptions,
  WrongLastSequence,
} from "./streams.ts";
import type { LiveBus } from "./streams-bus.ts";
import { DedupeWindow } from "./streams-dedupe.ts";
import {
  checkAppend,
  checkSubject,
  checkSubjects,
  checkTrim,
  checkWork,
  checkWorkerName,
  readBounds,
  trimEntriesMax,
} from "./streams-input.ts";
import { LmdbCheckpoints } from "./streams-lmdb-checkpoints.ts";
import { noHead, type SubjectHead, SubjectHeads } from "./streams-lmdb-heads.ts";
import { encodeRecord, type FrontBounds, LmdbRecords, recordData } from "./streams-lmdb-records.ts";
import {
  FrontRemoval,
  LmdbAppend,
  type Placement,
  type WrittenStream,
} from "./streams-lmdb-writes.ts";
import type { Retention } from "./streams-retention.ts";
import { StreamTail } from "./streams-tail.ts";
import { EntryWorker, type WorkerSource } from "./streams-worker.ts";

/** A worker that reads from the disk gets batches of about this many bytes. */
const batchBytesMax = 4 << 20;

/** A trim removes this many entries to a group: some 5 ms of the event loop. */
const trimStepMax = 1_000;

/** Entries of each subject above its limit that may lie on the disk, unseen, before they go. */
const surplusMax = 64;

/** Entries that are too old are removed with each group, at most this many. */
const expiredPerGroupMax = 256;

/** What a stream is made of. */
export interface LmdbStreamOptions {
  name: string;
  epoch: string;
  environment: LmdbEnvironment;
  /** For what is not an entry. */
  meta: LmdbDatabase;
  commits: GroupCommit;
  clock: Clock;
  retention: Retention;
  /** Where entries are republished, if they are. */
  bus: LiveBus | undefined;
}

/**
 * A stream in LMDB, one shard. An append gets its place when its group is written; there is one
 * group at a time, so that its predecessors are on disk or in the same group. Nothing is shown to
 * anybody, a worker or a reader, before it is on disk: LMDB shows it no earlier.
 */
export class LmdbStream implements Stream, WrittenStream, WorkerSource {
  readonly name: string;
  private readonly options: LmdbStreamOptions;
  private readonly records: LmdbRecords;
  private readonly checkpoints: LmdbCheckpoints;
  private readonly heads: SubjectHeads;
  private readonly dedupe: DedupeWindow;
  private readonly workers = new Set<EntryWorker>();
  private readonly tail = new StreamTail();
  private readonly overfull = new Set<string>();
  /** The newest entry, and up to where the oldest are removed: with the group under way ... */
  private placed: Ends;
  /** ... and as committed. */
  private committed: Ends;
  private lastTimeMs = 0;
  private nextExpiryMs: number;
  private open = true;

  constructor(options: LmdbStreamOptions) {
    const { name, environment, meta, clock, commits, retention } = options;
    this.options = options;
    this.name = name;
    this.records = new LmdbRecords(environment, name);
    this.checkpoints = new LmdbCheckpoints(clock, meta, name, () => commits.request());
    this.heads = new SubjectHeads((subject) => this.records.head(subject));
    this.dedupe = new DedupeWindow(clock);
    const floor = meta.getBinary(this.floorKey());
    const last = Math.max(this.records.lastSequence(), floor ? readInteger(floor) : 0);
    this.placed = { last, removed: 0 };
    this.committed = this.placed;
    this.nextExpiryMs = Number.isFinite(retention.ageMaxMs) ? 0 : Number.POSITIVE_INFINITY;
  }

  epoch(): string {
    return this.options.epoch;
  }

  append(subject: string, data: Uint8Array, options: AppendOptions = {}): Promise<number> {
    return new Promise((resolve, reject) => {
      checkAppend(subject, data, options);
      // The wall clock may step back; what was stored later is never older.
      this.lastTimeMs = Math.max(this.lastTimeMs, this.options.clock.nowMs());
      const record = encodeRecord(this.lastTimeMs, subject, data);
      this.enqueue(new LmdbAppend(this, subject, record, options, resolve, reject));
    });
  }

  async read(subject: string, options: ReadOptions = {}): Promise<SubjectPage> {
    checkSubject(subject);
    const bounds = readBounds(options);
    this.checkOpen();
    const { ordinal } = this.headOf(subject);
    const fromSequence = Math.max(bounds.fromSequence, this.committed.removed + 1);
    const ordinalMin = ordinal - this.options.retention.entriesPerSubjectMax + 1;
    return this.records.page(subject, { ...bounds, fromSequence }, ordinalMin);
  }

  async last(subject: string): Promise<StreamEntry | undefined> {
    checkSubject(subject);
    this.checkOpen();
    const { sequence } = this.headOf(subject);
    return sequence === 0 ? undefined : this.records.get(sequence);
  }

  async lastSequences(subjects: readonly string[]): Promise<number[]> {
    checkSubjects(subjects);
    this.checkOpen();
    return subjects.map((subject) => this.headOf(subject).sequence);
  }

  work(options: WorkOptions, handler: BatchHandler): Running {
    checkWork(options);
    this.checkOpen();
    const worker = new EntryWorker(this.options.clock, this, options, handler);
    this.workers.add(worker);
    return { stop: () => this.stopWorker(worker) };
  }

  async checkpoint(name: string, subject: string): Promise<number> {
    checkWorkerName(name);
    checkSubject(subject);
    this.checkOpen();
    return this.checkpoints.get(name);
  }

  async trim(options: TrimOptions): Promise<number> {
    checkTrim(options);
    const through = Math.min(
      this.committed.last,
      ...options.workers.map((name) => this.checkpoints.get(name)),
    );
    const nowMs = this.options.clock.nowMs();
    const untilMs = Math.min(nowMs, this.records.timeMsOf(through + 1) ?? nowMs);
    const beforeMs = untilMs - options.olderThanMs;
    let count = 0;
    while (count < trimEntriesMax) {
      const limit = Math.min(trimStepMax, trimEntriesMax - count);
      const removed = await new Promise<number>((resolve, reject) => {
        this.enqueue(new FrontRemoval(this, { through, beforeMs, limit }, resolve, reject));
      });
      count += removed;
      if (removed < limit) break;
    }
    return count;
  }

  /** Stops the workers; appends that wait are still committed. */
  async close(): Promise<void> {
    this.open = false;
    await Promise.all([...this.workers].map((worker) => this.stopWorker(worker)));
  }

  checkOpen(): void {
    if (!this.open) throw new StreamUnavailable(`stream ${this.name} is closed`);
  }

  entriesAfter(sequence: number, entriesMax: number): StreamEntry[] {
    if (sequence >= this.committed.last) return [];
    const entries = this.tail.after(sequence, entriesMax);
    return entries ?? this.records.after(sequence, entriesMax, batchBytesMax);
  }

  checkpointOf(name: string): number {
    return this.checkpoints.get(name);
  }

  moveCheckpoint(name: string, sequence: number): void {
    this.checkpoints.move(name, sequence);
  }

  /** A group begins: checkpoints travel with it, and what retention no longer wants goes. */
  beginGroup(): void {
    this.checkpoints.beginGroup();
    const { entriesPerSubjectMax } = this.options.retention;
    for (const subject of this.overfull) {
      const ordinalMin = this.headOf(subject).ordinal - entriesPerSubjectMax + 1;
      this.records.removeOfSubject(subject, ordinalMin, 2 * surplusMax);
    }
    this.overfull.clear();
    if (this.lastTimeMs >= this.nextExpiryMs) this.expire();
  }

  /** The group is on disk, or has failed and changed nothing. */
  endGroup(committed: boolean): void {
    if (committed) this.committed = this.placed;
    else this.placed = this.committed;
    this.heads.endGroup(committed);
    this.checkpoints.endGroup(committed);
  }

  place(append: LmdbAppend): Placement {
    const { subject, options, record } = append;
    const { expectedLastSequence: expected, dedupeId } = options;
    const repeated = dedupeId === undefined ? undefined : this.dedupe.sequenceOf(dedupeId);
    if (repeated !== undefined) return { kind: "repeated", sequence: repeated };
    const { sequence: prevSequence, ordinal } = this.present(this.heads.getPlaced(subject));
    if (expected !== undefined && expected !== prevSequence) {
      const message = `the last entry of ${subject} is ${prevSequence}, not ${expected}`;
      return { kind: "refused", error: new WrongLastSequence(message) };
    }
    const head = { sequence: this.placed.last + 1, ordinal: ordinal + 1 };
    this.records.put(subject, head, record);
    this.heads.place(subject, head);
    this.placed = { ...this.placed, last: head.sequence };
    if (dedupeId !== undefined) this.dedupe.remember(dedupeId, head.sequence);
    const isFull = head.ordinal > this.options.retention.entriesPerSubjectMax;
    if (isFull && head.ordinal % surplusMax === 0) this.overfull.add(subject);
    return { kind: "new", sequence: head.sequence, prevSequence };
  }

  stored(append: LmdbAppend, sequence: number, prevSequence: number): void {
    const { subject } = append;
    const { bus } = this.options;
    if (this.workers.size > 0) {
      this.tail.push({ sequence, subject, data: recordData(append.record) });
      for (const worker of this.workers) worker.wake();
    }
    if (bus?.hears(subject)) {
      bus.deliver({ sequence, prevSequence, subject, data: recordData(append.record) });
    }
  }

  withdraw(append: LmdbAppend): void {
    if (append.options.dedupeId !== undefined) this.dedupe.forget(append.options.dedupeId);
  }

  removeFront(bounds: Omit<FrontBounds, "after">): number {
    return this.removeOldest(bounds).count;
  }

  private removeOldest(bounds: Omit<FrontBounds, "after">) {
    const front = this.records.removeFront({ ...bounds, after: this.placed.removed });
    // Where all entries go, this is what keeps their sequences from being given again.
    this.options.meta.put(this.floorKey(), integerKey(this.placed.last));
    this.placed = { ...this.placed, removed: front.through };
    return front;
  }

  private expire(): void {
    const { ageMaxMs } = this.options.retention;
    const { count, nextTimeMs } = this.removeOldest({
      through: this.committed.last,
      beforeMs: this.lastTimeMs - ageMaxMs,
      limit: expiredPerGroupMax,
    });
    // Unset, and due again with the next group, where the limit was what ended it.
    if (nextTimeMs !== undefined) this.nextExpiryMs = nextTimeMs + ageMaxMs + 1;
    else if (count < expiredPerGroupMax) this.nextExpiryMs = this.lastTimeMs + ageMaxMs;
  }

  private headOf(subject: string): SubjectHead {
    return this.present(this.heads.get(subject));
  }

  /** A head whose entry is removed, or about to be, is none. */
  private present(head: SubjectHead): SubjectHead {
    return head.sequence > this.placed.removed ? head : noHead;
  }

  private enqueue(write: GroupedWrite): void {
    this.checkOpen();
    if (!this.options.commits.add(write)) throw new StreamUnavailable("too many writes wait");
  }

  private async stopWorker(worker: EntryWorker): Promise<void> {
    await worker.stop();
    this.workers.delete(worker);
    if (this.workers.size === 0) this.tail.clear();
  }

  private floorKey(): Buffer {
    return Buffer.from(`${this.name}/floor`);
  }
}

/** The ends of a stream. */
interface Ends {
  /** The sequence of the newest entry ever stored. */
  last: number;
  /** All entries up to this one are removed; 0: it is not known of any. */
  removed: number;
}
