/**
 * Streams in memory, for simulations and unit tests: one shard per stream, nothing but microtasks
 * between a call and its answer, no timers but the clock's. A {@link MemoryStreamsServer} holds
 * what is stored; each simulated process has a connection of its own and may die alone.
 */
import type { Clock } from "./clock.ts";
import {
  type AppendOptions,
  type BatchHandler,
  type DeadLetter,
  type DeadLetters,
  type LiveMessage,
  type PlacedDeadLetter,
  type PublishedEntry,
  type ReadOptions,
  type Running,
  type Stream,
  type StreamEntry,
  type Streams,
  StreamUnavailable,
  type SubjectPage,
  type TrimOptions,
  type WorkOptions,
} from "./streams.ts";
import { accountMessage, accountsSubject, LiveBus, toAccounts } from "./streams-bus.ts";
import {
  checkListLimit,
  deadLetterKey,
  deadLettersMax,
  decodeDeadLetter,
  encodeDeadLetter,
} from "./streams-dead-letters.ts";
import {
  checkAppend,
  checkSubject,
  checkSubjects,
  checkTrim,
  checkWork,
  checkWorkerName,
  readBounds,
} from "./streams-input.ts";
import { MemoryStreamState } from "./streams-memory-state.ts";
import { defaultRetention, type StreamsRetention } from "./streams-retention.ts";
import { EntryWorker } from "./streams-worker.ts";

/** How streams in memory are made. */
export interface MemoryStreamsOptions {
  clock: Clock;
  /** Default: {@link defaultRetention}. */
  retention?: StreamsRetention;
  /** The epoch of all streams: 1 to 32 of a-z, 0-9. Default: "memory". */
  epoch?: string;
}

/** What several processes share; it lives on when all of them are closed. */
export class MemoryStreamsServer {
  readonly clock: Clock;
  readonly epoch: string;
  readonly log: MemoryStreamState;
  readonly inbox: MemoryStreamState;
  readonly revocations: MemoryStreamState;
  /** Encoded, by their keys. */
  readonly deadLetters = new Map<string, Uint8Array>();
  /** Those of the connections that are open: of inboxes, of logs, of accounts. */
  readonly buses = new Set<LiveBus>();
  readonly logBuses = new Set<LiveBus>();
  readonly accountBuses = new Set<LiveBus>();

  constructor({ clock, retention = defaultRetention, epoch = "memory" }: MemoryStreamsOptions) {
    this.clock = clock;
    this.epoch = epoch;
    this.log = new MemoryStreamState(clock, retention.log);
    this.inbox = new MemoryStreamState(clock, retention.inbox);
    this.revocations = new MemoryStreamState(clock, retention.revocations);
    this.inbox.onStored = (entry, prevSequence) => publish(this.buses, { ...entry, prevSequence });
  }

  /** The streams as one process has them. */
  connect(): Streams {
    return new MemoryStreams(this);
  }
}

/** Tells everybody who listens, after the caller's turn. */
function publish(buses: Iterable<LiveBus>, message: LiveMessage): void {
  queueMicrotask(() => {
    for (const bus of buses) bus.deliver(message);
  });
}

/** Streams of a process that is alone. */
export function openMemoryStreams(options: MemoryStreamsOptions): Streams {
  return new MemoryStreamsServer(options).connect();
}

class MemoryStreams implements Streams {
  readonly log: MemoryStream;
  readonly inbox: MemoryStream;
  readonly revocations: MemoryStream;
  readonly deadLetters: DeadLetters;
  readonly interruptions = 0;
  private readonly server: MemoryStreamsServer;
  private readonly bus = new LiveBus();
  private readonly logBus = new LiveBus();
  private readonly accountBus = new LiveBus();

  constructor(server: MemoryStreamsServer) {
    this.server = server;
    this.log = new MemoryStream("log", server.log, server);
    this.inbox = new MemoryStream("inbox", server.inbox, server);
    this.revocations = new MemoryStream("revocations", server.revocations, server);
    this.deadLetters = new MemoryDeadLetters(server.deadLetters, () => this.log.checkOpen());
    server.buses.add(this.bus);
    server.logBuses.add(this.logBus);
    server.accountBuses.add(this.accountBus);
  }

  async subscribeInbox(
    userId: string,
    onMessage: (message: LiveMessage) => void,
  ): Promise<Running> {
    checkSubject(userId);
    this.inbox.checkOpen();
    return this.bus.subscribe(userId, onMessage);
  }

  publishInbox(userId: string, data: Uint8Array): void {
    checkSubject(userId);
    const message = { subject: userId, data: data.slice(), sequence: 0, prevSequence: 0 };
    publish(this.server.buses, message);
  }

  async subscribeLog(
    channelId: string,
    onMessage: (message: LiveMessage) => void,
  ): Promise<Running> {
    checkSubject(channelId);
    this.log.checkOpen();
    return this.logBus.subscribe(channelId, onMessage);
  }

  publishLog(channelId: string, entry: PublishedEntry): void {
    checkSubject(channelId);
    const message = { ...entry, subject: channelId, data: entry.data.slice() };
    publish(this.server.logBuses, message);
  }

  async subscribeAccounts(onChange: (userId: string) => void): Promise<Running> {
    this.log.checkOpen();
    return this.accountBus.subscribe(accountsSubject, toAccounts(onChange));
  }

  publishAccount(userId: string): void {
    checkSubject(userId);
    publish(this.server.accountBuses, accountMessage(userId));
  }

  async close(): Promise<void> {
    this.server.buses.delete(this.bus);
    this.server.logBuses.delete(this.logBus);
    this.server.accountBuses.delete(this.accountBus);
    this.bus.clear();
    this.logBus.clear();
    this.accountBus.clear();
    await Promise.all([this.log.close(), this.inbox.close(), this.revocations.close()]);
  }
}

class MemoryDeadLetters implements DeadLetters {
  private readonly letters: Map<string, Uint8Array>;
  private readonly checkOpen: () => void;

  constructor(letters: Map<string, Uint8Array>, checkOpen: () => void) {
    this.letters = letters;
    this.checkOpen = checkOpen;
  }

  async park(letter: DeadLetter): Promise<void> {
    this.checkOpen();
    const key = deadLetterKey(letter);
    if (this.letters.has(key)) return;
    if (this.letters.size >= deadLettersMax) {
      throw new StreamUnavailable(`${deadLettersMax} dead letters are there already`);
    }
    this.letters.set(key, encodeDeadLetter(letter));
  }

  async count(): Promise<number> {
    this.checkOpen();
    return this.letters.size;
  }

  async list(after: string, limit: number): Promise<PlacedDeadLetter[]> {
    checkListLimit(limit);
    this.checkOpen();
    const places = [...this.letters.keys()].sort().filter((place) => place > after);
    return places
      .slice(0, limit)
      .map((place) => ({ ...decodeDeadLetter(this.letters.get(place)!), place }));
  }
}

class MemoryStream implements Stream {
  readonly name: string;
  private readonly state: MemoryStreamState;
  private readonly server: MemoryStreamsServer;
  private readonly workers = new Set<EntryWorker>();
  private open = true;

  constructor(name: string, state: MemoryStreamState, server: MemoryStreamsServer) {
    this.name = name;
    this.state = state;
    this.server = server;
  }

  epoch(): string {
    return this.server.epoch;
  }

  async append(subject: string, data: Uint8Array, options: AppendOptions = {}): Promise<number> {
    checkAppend(subject, data, options);
    this.checkOpen();
    return this.state.append(subject, data.slice(), options);
  }

  async read(subject: string, options: ReadOptions = {}): Promise<SubjectPage> {
    checkSubject(subject);
    this.checkOpen();
    return this.state.read(subject, readBounds(options));
  }

  async last(subject: string): Promise<StreamEntry | undefined> {
    checkSubject(subject);
    this.checkOpen();
    return this.state.last(subject);
  }

  async lastSequences(subjects: readonly string[]): Promise<number[]> {
    checkSubjects(subjects);
    this.checkOpen();
    return subjects.map((subject) => this.state.last(subject)?.sequence ?? 0);
  }

  work(options: WorkOptions, handler: BatchHandler): Running {
    checkWork(options);
    this.checkOpen();
    const worker = new EntryWorker(this.server.clock, this.state, options, handler);
    this.workers.add(worker);
    this.state.workers.add(worker);
    return { stop: () => this.stop(worker) };
  }

  async checkpoint(name: string, subject: string): Promise<number> {
    checkWorkerName(name);
    checkSubject(subject);
    this.checkOpen();
    return this.state.checkpointOf(name);
  }

  async trim(options: TrimOptions): Promise<number> {
    checkTrim(options);
    this.checkOpen();
    return this.state.trim(options.olderThanMs, options.workers);
  }

  async close(): Promise<void> {
    this.open = false;
    await Promise.all([...this.workers].map((worker) => this.stop(worker)));
  }

  checkOpen(): void {
    if (!this.open) throw new StreamUnavailable(`stream ${this.name} is closed`);
  }

  private async stop(worker: EntryWorker): Promise<void> {
    await worker.stop();
    this.workers.delete(worker);
    this.state.workers.delete(worker);
  }
}
