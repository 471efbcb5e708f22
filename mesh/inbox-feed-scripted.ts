/**
 * An inbox for tests that decides nothing by itself: every answer and every live copy waits until
 * the test lets it happen, in any order, so that a seed can try all interleavings.
 */
import {
  type LiveMessage,
  type ReadOptions,
  type Running,
  type Stream,
  type StreamEntry,
  type Streams,
  StreamUnavailable,
  WrongLastSequence,
} from "./streams.ts";

/** One user's inbox whose every answer waits for {@link answer}. */
export class ScriptedInbox {
  /** What has ever been stored, trimmed entries too. */
  readonly history: StreamEntry[] = [];
  /** How many of the newest entries a read that does not ask the leader lacks. */
  lag = 0;
  /** Requests for tails: how many subjects each had. */
  readonly tailRequests: number[] = [];
  subscriptions = 0;
  readsUnderWayMax = 0;
  private readsUnderWay = 0;
  private waiting: { run: () => void; fail: () => void }[] = [];
  private live: LiveMessage[] = [];
  private listener: ((message: LiveMessage) => void) | undefined;
  private nextSequence = 7;
  private trimmedBelow = 0;

  /** The port, as far as an inbox feed uses it. */
  readonly streams: Streams = {
    inbox: {
      epoch: () => "e1",
      append: (subject, _data, options) =>
        this.later(() => {
          const last = this.present().at(-1)?.sequence ?? 0;
          if (last !== options?.expectedLastSequence) throw new WrongLastSequence();
          return this.store(subject);
        }),
      read: (_subject, options = {}) => this.read(options),
      last: () => this.later(() => this.present().at(-1)),
      lastSequences: (subjects) => {
        this.tailRequests.push(subjects.length);
        return this.later(() => subjects.map(() => this.replica().at(-1)?.sequence ?? 0));
      },
    } satisfies Partial<Stream> as unknown as Stream,
    interruptions: 0,
    subscribeInbox: (_user, listener) =>
      this.later((): Running => {
        this.subscriptions++;
        this.listener = listener;
        return {
          stop: async () => {
            this.subscriptions--;
            if (this.subscriptions === 0) this.listener = undefined;
          },
        };
      }),
  } satisfies Partial<Streams> as unknown as Streams;

  /** Stores an entry and lets its live copy wait. */
  store(subject = "alice"): number {
    const sequence = this.nextSequence;
    this.nextSequence += 3;
    const prevSequence = this.present().at(-1)?.sequence ?? 0;
    const data = new Uint8Array([sequence & 255]);
    this.history.push({ sequence, subject, data });
    this.live.push({ subject, data, sequence, prevSequence });
    return sequence;
  }

  /** Removes all but the newest entries. */
  trim(keep: number): void {
    const kept = this.present().slice(-keep || this.history.length);
    this.trimmedBelow = kept[0]?.sequence ?? this.nextSequence;
  }

  /** Requests that await their answers. */
  get waitingCount(): number {
    return this.waiting.length;
  }

  /** Answers one request that waits, or lets it fail. */
  answer(index = 0, failing = false): void {
    const [request] = this.waiting.splice(index, 1);
    if (failing) request?.fail();
    else request?.run();
  }

  /** Delivers, drops or doubles the oldest live copy that waits. */
  release(fate: "once" | "never" | "twice"): void {
    const message = this.live.shift();
    if (!message || fate === "never") return;
    this.listener?.(message);
    if (fate === "twice") this.live.splice(Math.min(2, this.live.length), 0, message);
  }

  /** Tells what is not stored. */
  publish(data: Uint8Array): void {
    this.listener?.({ subject: "alice", data, sequence: 0, prevSequence: 0 });
  }

  /** The bus was away for a moment. */
  interrupt(): void {
    (this.streams as { interruptions: number }).interruptions++;
  }

  /** Answers everything, with live copies, until nothing waits. */
  async settle(): Promise<void> {
    do {
      while (this.live.length > 0) this.release("once");
      this.answer();
      await turn();
    } while (this.waiting.length > 0 || this.live.length > 0);
  }

  private present(): StreamEntry[] {
    return this.history.filter((entry) => entry.sequence >= this.trimmedBelow);
  }

  private replica(): StreamEntry[] {
    const upTo = Math.max(0, this.history.length - this.lag);
    return this.history.slice(0, upTo).filter((entry) => entry.sequence >= this.trimmedBelow);
  }

  private async read(options: ReadOptions) {
    this.readsUnderWayMax = Math.max(this.readsUnderWayMax, ++this.readsUnderWay);
    try {
      return await this.later(() => {
        const all = options.fromLeader ? this.present() : this.replica();
        const from = all.filter((entry) => entry.sequence >= (options.fromSequence ?? 1));
        // Small pages, so that a catch-up takes several.
        const entries = from.slice(0, Math.min(3, options.limit ?? 3));
        return { entries, more: entries.length < from.length };
      });
    } finally {
      this.readsUnderWay--;
    }
  }

  private later<T>(answer: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.waiting.push({
        run: () => {
          try {
            resolve(answer());
          } catch (error) {
            reject(error);
          }
        },
        fail: () => reject(new StreamUnavailable("scripted")),
      });
    });
  }
}

/** Lets everything that is ready run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
