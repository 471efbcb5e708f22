/**
 * The durable streams (logs and inboxes) and the live bus. This comment is the specification;
 * `streams.contract.ts` checks it for every adapter.
 *
 * A **stream** is a sequence of entries; each entry has a subject and a sequence, unique and
 * ascending in its stream, not dense within a subject. A stream may be split into **shards**,
 * each subject in one of them; sequences, epochs and checkpoints are then the shard's. The
 * **epoch** names an incarnation: sequences of different epochs have nothing to do with each
 * other.
 *
 * The port promises little, because distributed servers do:
 * - An append that fails with {@link AppendOutcomeUnknown} may have happened, may happen
 *   later, or never. One that fails with anything else has not happened and will not.
 * - A read that does not ask the leader may be stale: it may lack the newest entries, of one
 *   subject more than of another. It never shows an entry that was not appended, nor entries
 *   of a subject out of order, nor one without those of its subject before it (but for
 *   trimmed ones).
 * - A republished entry may be lost, doubled or late, though not out of order with others of
 *   its subject unless it is a repetition.
 * - A worker may be given entries again, in batches cut differently; two workers of one name
 *   may run at once for a while.
 */

/** An entry as it is stored. */
export interface StreamEntry {
  /** Its position in the stream, from 1. */
  sequence: number;
  subject: string;
  data: Uint8Array;
}

/** Reads of one subject. */
export interface SubjectPage {
  /** Ascending. */
  entries: StreamEntry[];
  /** Whether the subject had more, at the time of the read. */
  more: boolean;
}

/** The append's expectation was wrong: the subject's last entry is another. Nothing was stored. */
export class WrongLastSequence extends Error {
  override readonly name = "WrongLastSequence";
}

/** Nobody knows whether the entry was stored, nor whether it still will be. */
export class AppendOutcomeUnknown extends Error {
  override readonly name = "AppendOutcomeUnknown";
}

/** The stream can't be reached, or is full; nothing was stored. */
export class StreamUnavailable extends Error {
  override readonly name: string = "StreamUnavailable";
}

/** It holds as much as it may, and refuses more rather than lose any; `trim` makes room. */
export class StreamFull extends StreamUnavailable {
  override readonly name = "StreamFull";
}

/** How an append is made. */
export interface AppendOptions {
  /**
   * The sequence of the subject's last entry, 0 for none. If another was stored or is under
   * way, the append fails with {@link WrongLastSequence}. Unset: no expectation.
   */
  expectedLastSequence?: number;
  /**
   * A second append with this id within two minutes is answered with the first one's sequence,
   * as far as the adapter remembers: it makes repetitions rare, not impossible.
   */
  dedupeId?: string;
}

/** How a subject is read. */
export interface ReadOptions {
  /** From this sequence on, inclusive. Default: 1. */
  fromSequence?: number;
  /** Up to this sequence, inclusive. Default: no end. */
  toSequence?: number;
  /** At most this many entries, 1 to 1,024. Default: 1,024. */
  limit?: number;
  /** Stops after the entry that exceeds this many bytes. Default: 1 MiB. */
  bytesMax?: number;
  /** True: sees every append acknowledged before the read. Default: false, may be stale. */
  fromLeader?: boolean;
}

/** A live entry, or a publication that is not stored. */
export interface LiveMessage {
  subject: string;
  data: Uint8Array;
  /** The entry's sequence in its stream; 0 for a publication that is not stored. */
  sequence: number;
  /** The sequence of the entry before it on the same stream subject; 0: none. */
  prevSequence: number;
}

/** An entry of a log, as who has read it tells others of it. */
export type PublishedEntry = Pick<LiveMessage, "data" | "sequence" | "prevSequence">;

/** A running subscription or worker. */
export interface Running {
  /** Stops it. After the promise resolves no callback is under way nor follows. */
  stop(): Promise<void>;
}

/** What a worker does with a batch; see {@link Stream.work}. */
export type BatchHandler = (entries: StreamEntry[], batch: WorkBatch) => Promise<void>;

/** A batch under way. */
export interface WorkBatch {
  /** Aborts when the worker stops in this shard: what it holds is given to whoever goes on. */
  readonly signal: AbortSignal;

  /**
   * Keeps the checkpoint before this batch until the promise resolves, while further batches are
   * given: for work that falls due later. It must not reject. Called before the handler's own
   * promise resolves. At most 10,000 batches are held, then the next one waits; what they may hold
   * in memory is the handler's to limit, by resolving later.
   */
  hold(until: Promise<void>): void;
}

/** How a worker reads. */
export interface WorkOptions {
  /** Names the worker's checkpoint: "fan-out", "persist". */
  name: string;
  /** At most this many entries to a batch, 1 to 1,024. */
  batchMax: number;
  /** Told of a failed batch before it is given again. */
  onError(error: unknown, entries: StreamEntry[]): void;
  /**
   * Whether this process, of several with the same worker, is the one for its work in a shard,
   * asked now and then by the names of both. One that is not hands the shard over to one that is.
   * Default: always.
   */
  isOurs?: ((work: string) => boolean) | undefined;
}

/** What is trimmed. */
export interface TrimOptions {
  /** The names of the workers that must have done it. */
  workers: readonly string[];
  olderThanMs: number;
  /**
   * Takes the place of `olderThanMs` in a shard that holds more than 80 % of the bytes that it
   * may, for as many of its oldest entries as bring it below. Default: `olderThanMs`.
   */
  pressedOlderThanMs?: number;
  /**
   * Takes the place of `workers` there. The others are given what is left, from the first entry
   * after their checkpoint. Default: `workers`.
   */
  pressedWorkers?: readonly string[];
}

/** One stream. */
export interface Stream {
  readonly name: string;

  /** The incarnation of the subject's shard: 1 to 32 of a-z, 0-9. Constant for this object. */
  epoch(subject: string): string;

  /**
   * Stores an entry of at most 1,000,000 bytes. Resolves with its sequence when it is durable.
   * Appends of one caller to one subject are stored in the order of the calls.
   *
   * @throws WrongLastSequence, AppendOutcomeUnknown, StreamFull, StreamUnavailable
   */
  append(subject: string, data: Uint8Array, options?: AppendOptions): Promise<number>;

  /** Reads entries of a subject, ascending. @throws StreamUnavailable */
  read(subject: string, options?: ReadOptions): Promise<SubjectPage>;

  /** Reads the newest entry of a subject. @throws StreamUnavailable */
  last(subject: string, options?: { fromLeader?: boolean }): Promise<StreamEntry | undefined>;

  /**
   * The sequences of the newest entries of at most 1,024 subjects, in their order; 0: none.
   * May be stale. @throws StreamUnavailable
   */
  lastSequences(subjects: readonly string[]): Promise<number[]>;

  /**
   * Runs a worker: gives all entries of each shard, in order from the checkpoint of its name, in
   * batches, one at a time, and moves the checkpoint forward when the handler's promise resolves,
   * and all that it {@link WorkBatch.hold holds}, of this batch and those before. A handler that
   * fails gets the same entries again after a growing pause, unless another worker of the name has
   * done them by then. Batches of different shards may run at once. Stopping waits for the handler,
   * not for what is held.
   */
  work(options: WorkOptions, handler: BatchHandler): Running;

  /**
   * The sequence up to which the worker of this name has done its work in the subject's shard;
   * 0: nothing yet. May be stale, which is to say lower.
   */
  checkpoint(name: string, subject: string): Promise<number>;

  /**
   * Removes the entries that every one of the named workers has done and that were stored more
   * than `olderThanMs` ago, counted from now or from the first entry that one of them has not
   * done: what a worker has yet to do may rest on what is less than this older. A subject's reads
   * then begin later; sequences are never given again. Resolves with the number removed, at most
   * 100,000 a call.
   */
  trim(options: TrimOptions): Promise<number>;
}

/** An entry that a worker can't make sense of. */
export interface DeadLetter {
  /** The worker's name. */
  worker: string;
  /** The name of the entry's stream, and the epoch of its sequence. */
  stream: string;
  epoch: string;
  entry: StreamEntry;
  /** What is wrong with it; what is longer than 1,000 characters is cut. */
  reason: string;
}

/** A letter, and its place in the list of them. */
export interface PlacedDeadLetter extends DeadLetter {
  /** Opaque; see {@link DeadLetters.list}. */
  place: string;
}

/**
 * Entries that workers have put aside so that what follows them can go on. They stay until
 * somebody removes them with the server's own tools.
 */
export interface DeadLetters {
  /**
   * Keeps a copy of an entry; resolves when it is durable. The same entry of the same worker again
   * changes nothing. At most 10,000 are kept, more are refused: that many are no accident.
   * @throws StreamUnavailable
   */
  park(letter: DeadLetter): Promise<void>;

  /** How many there are. @throws StreamUnavailable */
  count(): Promise<number>;

  /**
   * Lists letters, each once, in an order that stays: those after a place, or from the first where
   * it is "". Fewer than `limit`, 1 to 100, only at the end; those parked meanwhile may be missing.
   * @throws StreamUnavailable
   */
  list(after: string, limit: number): Promise<PlacedDeadLetter[]>;
}

/** All that a process reads, writes and hears of streams. */
export interface Streams {
  /** Channel logs: subjects are {@link logSubject}; nothing is republished but by `publishLog`. */
  readonly log: Stream;
  /** User inboxes: subjects are {@link inboxSubject}; every entry is republished live. */
  readonly inbox: Stream;
  /** Ended sign-ins; kept as long as an access token lives. One subject, "revocation". */
  readonly revocations: Stream;
  /** What workers have put aside. */
  readonly deadLetters: DeadLetters;

  /**
   * Hears what is stored in an inbox or published on its subject, from about now on: what is
   * stored while the promise is pending may or may not be heard. The callback must not throw.
   */
  subscribeInbox(userId: string, onMessage: (message: LiveMessage) => void): Promise<Running>;

  /** How often the bus was away so far: what was told meanwhile is not heard. */
  readonly interruptions: number;

  /** Tells the subscribers of an inbox something that is not stored. May be lost. */
  publishInbox(userId: string, data: Uint8Array): void;

  /**
   * Hears the entries of a channel's log that somebody tells of, from about now on. The callback
   * must not throw.
   */
  subscribeLog(channelId: string, onMessage: (message: LiveMessage) => void): Promise<Running>;

  /**
   * Tells the subscribers of a channel's log of an entry that is stored there. As with what is
   * republished it may be lost; those of one caller arrive in the order of the calls.
   * @throws StreamUnavailable where it is lost for certain
   */
  publishLog(channelId: string, entry: PublishedEntry): void;

  /**
   * Hears of accounts of which something has changed that others keep for a while: settings,
   * friends, blocks. May be lost, so that what is kept needs a greatest age. The callback must not
   * throw.
   */
  subscribeAccounts(onChange: (userId: string) => void): Promise<Running>;

  /** Tells the subscribers of all processes, this one's too, of an account. */
  publishAccount(userId: string): void;

  /** Stops all workers and closes; what was acknowledged is durable. */
  close(): Promise<void>;
}

/** Entries may be this large. NATS' default limit of a message is 1 MiB. */
export const entryBytesMax = 1_000_000;

/** The subject of a channel's log. */
export function logSubject(channelId: string): string {
  return channelId;
}

/** The subject of a user's inbox. */
export function inboxSubject(userId: string): string {
  return userId;
}
