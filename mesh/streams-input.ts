/** The limits of streams.ts that callers can exceed, and their checks, the same in all adapters. */
import { fieldInvalid } from "./errors.ts";
import {
  type AppendOptions,
  entryBytesMax,
  type ReadOptions,
  type TrimOptions,
  type WorkOptions,
} from "./streams.ts";

/** Entries to a page of a read or a batch of a worker. */
export const pageEntriesMax = 1_024;

/** Bytes after which a page ends, unless the reader says otherwise. */
export const pageBytesDefault = 1 << 20;

/** Subjects to a request for last sequences: NATS' limit of `multi_last`. */
export const lastSequencesMax = 1_024;

/** Entries that one call trims at most. */
export const trimEntriesMax = 100_000;

/** One token of a NATS subject, and short enough for a key of LMDB. */
const subjectPattern = /^[A-Za-z0-9_-]{1,200}$/;

/** A worker's name. */
const workerPattern = /^[a-z0-9-]{1,40}$/;

/** @throws DomainError FIELD_INVALID */
export function checkSubject(subject: string): void {
  if (!subjectPattern.test(subject)) {
    throw fieldInvalid("subject", `${quote(subject)} is not 1 to 200 of a-z, A-Z, 0-9, _ and -`);
  }
}

/** @throws DomainError FIELD_INVALID */
export function checkAppend(subject: string, data: Uint8Array, options: AppendOptions): void {
  checkSubject(subject);
  if (data.length > entryBytesMax) {
    throw fieldInvalid("data", `has ${data.length} bytes; at most ${entryBytesMax} are possible`);
  }
  const { expectedLastSequence: expected, dedupeId } = options;
  if (expected !== undefined) checkInteger("expectedLastSequence", expected, 0);
  if (dedupeId !== undefined && (dedupeId.length < 1 || dedupeId.length > 200)) {
    throw fieldInvalid("dedupeId", `has ${dedupeId.length} characters; 1 to 200 are possible`);
  }
}

/** The bounds of a read with the defaults filled in. @throws DomainError FIELD_INVALID */
export function readBounds(options: ReadOptions): Required<ReadOptions> {
  const {
    fromSequence = 1,
    toSequence = Number.MAX_SAFE_INTEGER,
    limit = pageEntriesMax,
    bytesMax = pageBytesDefault,
    fromLeader = false,
  } = options;
  checkInteger("fromSequence", fromSequence, 0);
  checkInteger("toSequence", toSequence, 0);
  checkInteger("limit", limit, 1, pageEntriesMax);
  checkInteger("bytesMax", bytesMax, 1);
  return { fromSequence, toSequence, limit, bytesMax, fromLeader };
}

/** @throws DomainError FIELD_INVALID */
export function checkSubjects(subjects: readonly string[]): void {
  if (subjects.length > lastSequencesMax) {
    throw fieldInvalid("subjects", `are ${subjects.length}; at most ${lastSequencesMax} a request`);
  }
  for (const subject of subjects) checkSubject(subject);
}

/** @throws DomainError FIELD_INVALID */
export function checkWork(options: WorkOptions): void {
  checkWorkerName(options.name);
  checkInteger("batchMax", options.batchMax, 1, pageEntriesMax);
}

/** @throws DomainError FIELD_INVALID */
export function checkWorkerName(name: string): void {
  if (!workerPattern.test(name)) {
    throw fieldInvalid("name", `${quote(name)} is not 1 to 40 of a-z, 0-9 and -`);
  }
}

/** @throws DomainError FIELD_INVALID */
export function checkTrim(options: TrimOptions): void {
  const { workers, pressedWorkers = [], olderThanMs, pressedOlderThanMs = 0 } = options;
  for (const [field, value] of Object.entries({ olderThanMs, pressedOlderThanMs })) {
    if (!(value >= 0)) throw fieldInvalid(field, `is ${value}; it can't be less than 0`);
  }
  for (const name of [...workers, ...pressedWorkers]) checkWorkerName(name);
}

function checkInteger(field: string, value: number, min: number, max = Number.MAX_SAFE_INTEGER) {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw fieldInvalid(field, `is ${value}; an integer from ${min} to ${max} is possible`);
  }
}

function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
