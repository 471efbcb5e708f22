import {
  integerBytes,
  integerKey,
  type LmdbDatabase,
  type LmdbEnvironment,
  openDatabase,
  readInteger,
} from "./lmdb.ts";
import type { ReadOptions, StreamEntry, SubjectPage } from "./streams.ts";
import { noHead, type SubjectHead } from "./streams-lmdb-heads.ts";

/**
 * How a stream lies in LMDB, in two databases:
 * - records: sequence -> time of storing, subject, data;
 * - index: subject, 0, sequence -> ordinal, the dense number of the entry in its subject, so that
 *   the newest n are known without counting.
 *
 * Puts and removals are made within a group (lmdb-group-commit.ts), reads at any time.
 */
export class LmdbRecords {
  private readonly records: LmdbDatabase;
  private readonly index: LmdbDatabase;

  constructor(environment: LmdbEnvironment, stream: string) {
    this.records = openDatabase(environment, `${stream}-records`);
    this.index = openDatabase(environment, `${stream}-index`);
  }

  /** Puts an entry; `record` is {@link encodeRecord}'s. */
  put(subject: string, head: SubjectHead, record: Buffer): void {
    this.records.put(integerKey(head.sequence), record);
    this.index.put(indexKey(subject, head.sequence), integerKey(head.ordinal));
  }

  /** The sequence of the stream's last entry; 0: it has none. */
  lastSequence(): number {
    for (const key of this.records.getKeys({ reverse: true, limit: 1 })) return readInteger(key);
    return 0;
  }

  /** The newest entry of a subject. */
  head(subject: string): SubjectHead {
    const start = indexKey(subject, sequenceEnd);
    const end = indexKey(subject, 0);
    for (const { key, value } of this.index.getRange({ start, end, reverse: true, limit: 1 })) {
      return { sequence: indexSequence(key), ordinal: readInteger(value) };
    }
    return noHead;
  }

  /** An entry; undefined: it was removed. */
  get(sequence: number): StreamEntry | undefined {
    const record = this.records.getBinary(integerKey(sequence));
    return record && decodeEntry(sequence, record);
  }

  /** When an entry was stored; undefined: there is none. */
  timeMsOf(sequence: number): number | undefined {
    const record = this.records.getBinary(integerKey(sequence));
    return record && readInteger(record);
  }

  /** Entries of a subject within bounds, those with an ordinal of at least `ordinalMin`. */
  page(subject: string, bounds: Required<ReadOptions>, ordinalMin: number): SubjectPage {
    const start = indexKey(subject, Math.min(bounds.fromSequence, sequenceEnd));
    const end = indexKey(subject, Math.min(bounds.toSequence + 1, sequenceEnd));
    const entries: StreamEntry[] = [];
    let bytes = 0;
    for (const { key, value } of this.index.getRange({ start, end })) {
      if (readInteger(value) < ordinalMin) continue;
      if (entries.length === bounds.limit || bytes > bounds.bytesMax) {
        return { entries, more: true };
      }
      const entry = this.get(indexSequence(key));
      if (!entry) continue;
      entries.push(entry);
      bytes += entry.data.length;
    }
    return { entries, more: false };
  }

  /** Entries after a sequence, of all subjects; stops after `bytesMax`. */
  after(sequence: number, limit: number, bytesMax: number): StreamEntry[] {
    const entries: StreamEntry[] = [];
    let bytes = 0;
    for (const { key, value } of this.records.getRange({
      start: integerKey(sequence + 1),
      limit,
    })) {
      const entry = decodeEntry(readInteger(key), value);
      entries.push(entry);
      bytes += entry.data.length;
      if (bytes > bytesMax) break;
    }
    return entries;
  }

  /** Removes the entries of a subject whose ordinal is less, at most `limit`. */
  removeOfSubject(subject: string, ordinalMin: number, limit: number): void {
    const start = indexKey(subject, 0);
    const end = indexKey(subject, sequenceEnd);
    const removed: number[] = [];
    for (const { key, value } of this.index.getRange({ start, end, limit })) {
      if (readInteger(value) >= ordinalMin) break;
      removed.push(indexSequence(key));
    }
    for (const sequence of removed) this.remove(sequence, subject);
  }

  /** Removes the stream's oldest entries. */
  removeFront(bounds: FrontBounds): RemovedFront {
    const front: RemovedFront = { count: 0, through: bounds.after, nextTimeMs: undefined };
    const removed: StreamEntry[] = [];
    const start = integerKey(bounds.after + 1);
    for (const { key, value } of this.records.getRange({ start, limit: bounds.limit })) {
      const sequence = readInteger(key);
      const timeMs = readInteger(value);
      if (timeMs >= bounds.beforeMs || sequence > bounds.through) {
        front.nextTimeMs = timeMs;
        break;
      }
      removed.push(decodeEntry(sequence, value));
    }
    for (const { sequence, subject } of removed) {
      this.remove(sequence, subject);
      front.count++;
      front.through = sequence;
    }
    return front;
  }

  private remove(sequence: number, subject: string): void {
    this.records.remove(integerKey(sequence));
    this.index.remove(indexKey(subject, sequence));
  }
}

/** Which of the oldest entries are to be removed. */
export interface FrontBounds {
  /** Those up to this one are gone already. */
  after: number;
  /** Up to this one. */
  through: number;
  /** Stored before this time. */
  beforeMs: number;
  /** At most this many. */
  limit: number;
}

/** Which of the oldest entries were removed. */
export interface RemovedFront {
  count: number;
  /** The last one; as before if there was none. */
  through: number;
  /** When the next one was stored, where that was seen. */
  nextTimeMs: number | undefined;
}

/** Encodes a record. The subject has at most 255 ASCII characters. */
export function encodeRecord(timeMs: number, subject: string, data: Uint8Array): Buffer {
  const record = Buffer.allocUnsafe(headerBytes + subject.length + data.length);
  record.writeUIntBE(timeMs, 0, integerBytes);
  record[integerBytes] = subject.length;
  record.write(subject, headerBytes, "latin1");
  record.set(data, headerBytes + subject.length);
  return record;
}

/** The data in a record, a view of it. */
export function recordData(record: Buffer): Buffer {
  return record.subarray(headerBytes + record[integerBytes]!);
}

function decodeEntry(sequence: number, record: Buffer): StreamEntry {
  const subject = record.toString("latin1", headerBytes, headerBytes + record[integerBytes]!);
  return { sequence, subject, data: recordData(record) };
}

const headerBytes = integerBytes + 1;

/** Greater than any sequence. */
const sequenceEnd = 2 ** 48 - 1;

function indexKey(subject: string, sequence: number): Buffer {
  const key = Buffer.allocUnsafe(subject.length + 1 + integerBytes);
  key.write(subject, 0, "latin1");
  key[subject.length] = 0;
  key.writeUIntBE(sequence, subject.length + 1, integerBytes);
  return key;
}

function indexSequence(key: Buffer): number {
  return readInteger(key, key.length - integerBytes);
}
