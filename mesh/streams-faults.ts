/**
 * Streams that do everything that the port's comment leaves open, and nothing worse: leader reads
 * are never stale, a subject's entries never out of order, an acknowledged append never undone.
 */
import type { Clock } from "./clock.ts";
import type { Faults } from "./faults.ts";
import {
  type AppendOptions,
  AppendOutcomeUnknown,
  type BatchHandler,
  type LiveMessage,
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

/** What can go wrong. */
export type StreamFault =
  /** An append, read, subscription or parking fails with StreamUnavailable; nothing is stored. */
  | "unavailable"
  /** An append is stored and fails with AppendOutcomeUnknown. */
  | "appendUnknownStored"
  /** An append fails with AppendOutcomeUnknown and is never stored. */
  | "appendUnknownLost"
  /** The same, but it is tried later, with its expectation. */
  | "appendUnknownLate"
  /** A read that does not ask the leader lacks some of the subject's newest entries. */
  | "readStale"
  /** A checkpoint is told too low. */
  | "checkpointStale"
  /** A live message does not come. */
  | "liveLost"
  /** A live message comes again, later. */
  | "liveDoubled"
  /** A live message comes later, and those of its subject after it. */
  | "liveDelayed"
  /** A batch comes in two parts. */
  | "batchCut"
  /** A batch comes again at once. */
  | "batchAgain"
  /** A batch that is done does not move the checkpoint, and comes again after a pause. */
  | "checkpointLost"
  /** Two workers of the same name run for a while. */
  | "workerDoubled";

/** How streams go wrong. */
export interface StreamFaultsOptions {
  faults: Faults<StreamFault>;
  clock: Clock;
  /** What is late is so by at most this. Default: 1,000. */
  lateMsMax?: number;
  /** Where late appends go: a connection that outlives this one. Default: the same streams. */
  lateTo?: Streams;
}

/** How many sequences a stale read or checkpoint is behind, at most. */
const lagMax = 10;

/** Wraps streams, as one process has them. Closing them leaves late appends under way. */
export function withFaults(streams: Streams, options: StreamFaultsOptions): Streams {
  const { faults, lateTo = streams } = options;
  const faulty = (stream: Stream, lateStream: Stream) =>
    new FaultyStream(stream, lateStream, options);
  return {
    log: faulty(streams.log, lateTo.log),
    inbox: faulty(streams.inbox, lateTo.inbox),
    revocations: faulty(streams.revocations, lateTo.revocations),
    deadLetters: {
      async park(letter) {
        failIfUnavailable(faults);
        await streams.deadLetters.park(letter);
      },
      async count() {
        failIfUnavailable(faults);
        return streams.deadLetters.count();
      },
      async list(after, limit) {
        failIfUnavailable(faults);
        return streams.deadLetters.list(after, limit);
      },
    },
    subscribeInbox: (userId, onMessage) =>
      subscribe(onMessage, (hear) => streams.subscribeInbox(userId, hear)),
    get interruptions() {
      return streams.interruptions;
    },
    publishInbox: (userId, data) => streams.publishInbox(userId, data),
    subscribeLog: (channelId, onMessage) =>
      subscribe(onMessage, (hear) => streams.subscribeLog(channelId, hear)),
    publishLog: (channelId, entry) => streams.publishLog(channelId, entry),
    async subscribeAccounts(onChange) {
      failIfUnavailable(faults);
      return streams.subscribeAccounts((userId) => {
        if (!faults.strikes("liveLost")) onChange(userId);
      });
    },
    publishAccount: (userId) => streams.publishAccount(userId),
    close: () => streams.close(),
  };

  async function subscribe(
    onMessage: (message: LiveMessage) => void,
    start: (hear: (message: LiveMessage) => void) => Promise<Running>,
  ): Promise<Running> {
    failIfUnavailable(faults);
    const listener = new FaultyListener(onMessage, options);
    const running = await start((message) => listener.hear(message));
    return {
      stop() {
        listener.stop();
        return running.stop();
      },
    };
  }
}

class FaultyStream implements Stream {
  readonly name: string;
  private readonly stream: Stream;
  private readonly lateStream: Stream;
  private readonly options: StreamFaultsOptions;
  private readonly faults: Faults<StreamFault>;

  constructor(stream: Stream, lateStream: Stream, options: StreamFaultsOptions) {
    this.name = stream.name;
    this.stream = stream;
    this.lateStream = lateStream;
    this.options = options;
    this.faults = options.faults;
  }

  epoch(subject: string): string {
    return this.stream.epoch(subject);
  }

  async append(subject: string, data: Uint8Array, options?: AppendOptions): Promise<number> {
    failIfUnavailable(this.faults);
    if (this.faults.strikes("appendUnknownLost")) throw new AppendOutcomeUnknown("lost");
    if (this.faults.strikes("appendUnknownLate")) {
      const copy = data.slice();
      this.options.clock.setTimer(lateMs(this.options), () => {
        this.lateStream.append(subject, copy, options).catch(() => {});
      });
      throw new AppendOutcomeUnknown("late");
    }
    const sequence = await this.stream.append(subject, data, options);
    if (this.faults.strikes("appendUnknownStored")) throw new AppendOutcomeUnknown("stored");
    return sequence;
  }

  async read(subject: string, options: ReadOptions = {}): Promise<SubjectPage> {
    failIfUnavailable(this.faults);
    const shownMax = await this.shownMax(subject, options.fromLeader);
    const toSequence = Math.min(shownMax, options.toSequence ?? shownMax);
    return this.stream.read(subject, { ...options, toSequence });
  }

  async last(
    subject: string,
    options: { fromLeader?: boolean } = {},
  ): Promise<StreamEntry | undefined> {
    failIfUnavailable(this.faults);
    return this.lastUpTo(subject, await this.shownMax(subject, options.fromLeader));
  }

  async lastSequences(subjects: readonly string[]): Promise<number[]> {
    failIfUnavailable(this.faults);
    const sequences = await this.stream.lastSequences(subjects);
    for (const [i, subject] of subjects.entries()) {
      const shown = await this.lastUpTo(subject, await this.shownMax(subject));
      sequences[i] = Math.min(sequences[i]!, shown?.sequence ?? 0);
    }
    return sequences;
  }

  work(options: WorkOptions, handler: BatchHandler): Running {
    const checkpointLost = new Error("checkpoint lost");
    const start = () =>
      this.stream.work(
        {
          ...options,
          onError: (error, entries) => {
            if (error !== checkpointLost) options.onError(error, entries);
          },
        },
        async (entries, batch) => {
          const cut = this.faults.strikes("batchCut") ? this.faults.upTo(entries.length) : 0;
          for (const part of [entries.slice(0, cut), entries.slice(cut)]) {
            if (part.length > 0) await handler(part, batch);
          }
          if (this.faults.strikes("batchAgain")) await handler(entries, batch);
          if (this.faults.strikes("checkpointLost")) throw checkpointLost;
        },
      );
    const workers = [start()];
    if (this.faults.strikes("workerDoubled")) {
      const second = start();
      workers.push(second);
      this.options.clock.setTimer(lateMs(this.options), () => void second.stop());
    }
    return {
      async stop() {
        await Promise.all(workers.map((worker) => worker.stop()));
      },
    };
  }

  async checkpoint(name: string, subject: string): Promise<number> {
    failIfUnavailable(this.faults);
    const sequence = await this.stream.checkpoint(name, subject);
    if (!this.faults.strikes("checkpointStale")) return sequence;
    return Math.max(0, sequence - 1 - this.faults.upTo(lagMax));
  }

  async trim(options: TrimOptions): Promise<number> {
    failIfUnavailable(this.faults);
    return this.stream.trim(options);
  }

  /** Up to which sequence a read shows the subject. */
  private async shownMax(subject: string, fromLeader = false): Promise<number> {
    if (fromLeader || !this.faults.strikes("readStale")) return Number.MAX_SAFE_INTEGER;
    const last = await this.stream.last(subject, { fromLeader: true });
    return Math.max(0, (last?.sequence ?? 0) - 1 - this.faults.upTo(lagMax));
  }

  private async lastUpTo(subject: string, toSequence: number): Promise<StreamEntry | undefined> {
    const newest = await this.stream.last(subject, { fromLeader: true });
    if (!newest || newest.sequence <= toSequence) return newest;
    let last: StreamEntry | undefined;
    for (let more = true; more; ) {
      const fromSequence = (last?.sequence ?? 0) + 1;
      const options = { fromSequence, toSequence, fromLeader: true };
      const page = await this.stream.read(subject, options);
      last = page.entries.at(-1) ?? last;
      more = page.more;
    }
    return last;
  }
}

/** Hands one subscriber what it is to hear. */
class FaultyListener {
  private readonly onMessage: (message: LiveMessage) => void;
  private readonly options: StreamFaultsOptions;
  private waiting: LiveMessage[] = [];
  private delayed = false;
  private stopped = false;

  constructor(onMessage: (message: LiveMessage) => void, options: StreamFaultsOptions) {
    this.onMessage = onMessage;
    this.options = options;
  }

  hear(message: LiveMessage): void {
    const { faults, clock } = this.options;
    if (faults.strikes("liveLost")) return;
    this.waiting.push(message);
    if (faults.strikes("liveDelayed") && !this.delayed) {
      this.delayed = true;
      clock.setTimer(lateMs(this.options), () => {
        this.delayed = false;
        this.handOver();
      });
    }
    if (!this.delayed) this.handOver();
  }

  stop(): void {
    this.stopped = true;
  }

  private handOver(): void {
    const { faults, clock } = this.options;
    const messages = this.waiting;
    this.waiting = [];
    for (const message of messages) {
      this.tell(message);
      if (faults.strikes("liveDoubled")) {
        clock.setTimer(lateMs(this.options), () => this.tell(message));
      }
    }
  }

  private tell(message: LiveMessage): void {
    if (!this.stopped) this.onMessage(message);
  }
}

function failIfUnavailable(faults: Faults<StreamFault>): void {
  if (faults.strikes("unavailable")) throw new StreamUnavailable("a fault was asked for");
}

function lateMs({ faults, lateMsMax = 1_000 }: StreamFaultsOptions): number {
  return faults.upTo(lateMsMax);
}
