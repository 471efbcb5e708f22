/**
 * A worker's checkpoint in one shard, which is also the lease of who runs there: an entry of its
 * own subject in a stream that keeps one entry of each. Each write expects the last one, so that
 * of two workers the one that writes second notices. The lease needs no common time: whoever waits
 * takes over when the entry has not changed for as long as a lease lasts, by its own clock.
 *
 * It saves work, no more: a worker that is held up for longer than its lease goes on beside its
 * successor until it learns of it.
 */
import { type Clock, sleep, type Timer } from "./clock.ts";
import type { StreamEntry } from "./streams.ts";
import type { NatsShard } from "./streams-nats-shard.ts";

/** How long a worker may be silent before another one takes over. */
const leaseMs = 3_000;
/** How often who has the lease writes, and who waits for it looks. */
const renewMs = leaseMs / 3;
/** How long a checkpoint gathers before it is written. What is lost with a kill is done again. */
const saveDelayMs = 100;

/** What is stored. */
interface Stored {
  /** Up to here the work is done. */
  sequence: number;
  /** Who has the lease; "": nobody. */
  owner: string;
}

/** The sequence of a checkpoint, whoever has it; 0: there is none. @throws StreamUnavailable */
export async function readCheckpoint(
  checkpoints: NatsShard,
  key: string,
  fromLeader: boolean,
): Promise<number> {
  const subject = checkpoints.subjectPrefix + key;
  return decode(await checkpoints.reads.last(subject, fromLeader)).sequence;
}

/**
 * Waits until the lease is free, and takes it; who should have it asks for it meanwhile. Undefined:
 * the signal came first.
 */
export async function acquireCheckpoint(
  checkpoints: NatsShard,
  key: string,
  owner: string,
  isOurs: () => boolean,
  signal: AbortSignal,
): Promise<HeldCheckpoint | undefined> {
  const { link } = checkpoints;
  const { clock } = link;
  const subject = checkpoints.subjectPrefix + key;
  let seen: { revision: number; atMs: number } | undefined;
  while (!signal.aborted) {
    try {
      const last = await checkpoints.reads.last(subject, true);
      const { sequence, owner: current } = decode(last);
      const revision = last?.sequence ?? 0;
      const nowMs = clock.monotonicMs();
      if (seen?.revision !== revision) seen = { revision, atMs: nowMs };
      const ours = isOurs();
      const isGiven = current === owner || (current === "" && ours);
      if (isGiven || nowMs - seen.atMs >= leaseMs) {
        const held = new HeldCheckpoint(checkpoints, subject, owner, sequence, revision);
        await held.take();
        return held;
      }
      if (ours) link.publish(wantedSubject(checkpoints, key), "");
    } catch (err) {
      // Somebody else was faster, or the server is away: look again.
      link.log.debug({ event: "nats_lease_not_taken", key, err });
    }
    await sleep(clock, renewMs, signal).catch(() => {});
  }
  return undefined;
}

/** Where whoever has a lease is asked for it. */
export function wantedSubject(checkpoints: NatsShard, key: string): string {
  return `${checkpoints.stream}.wanted.${key}`;
}

/** A checkpoint whose lease this process has. */
export class HeldCheckpoint {
  /** Resolves when somebody else has taken the lease. */
  readonly lost: Promise<void>;
  private readonly checkpoints: NatsShard;
  private readonly clock: Clock;
  private readonly subject: string;
  private readonly owner: string;
  private done: number;
  private saved: number;
  private revision: number;
  /** When it was last known to be held. */
  private heldAtMs = 0;
  private timer: { timer: Timer; dueMs: number } | undefined;
  private saving: Promise<void> | undefined;
  private ended = false;
  private readonly resolveLost: () => void;

  constructor(
    checkpoints: NatsShard,
    subject: string,
    owner: string,
    sequence: number,
    revision: number,
  ) {
    this.checkpoints = checkpoints;
    this.clock = checkpoints.link.clock;
    this.subject = subject;
    this.owner = owner;
    this.done = sequence;
    this.saved = sequence;
    this.revision = revision;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.lost = promise;
    this.resolveLost = resolve;
  }

  /** Up to here the work is done. */
  get sequence(): number {
    return this.done;
  }

  /** Writes that the lease is taken. @throws WrongLastSequence and others: it is not. */
  async take(): Promise<void> {
    await this.write(this.owner);
    this.saveWithin(renewMs);
  }

  /** Moves it forward. */
  move(sequence: number): void {
    if (sequence <= this.done) return;
    this.done = sequence;
    this.saveWithin(saveDelayMs);
  }

  /** Whether it is still held: where that is not sure, the server is asked. */
  async isHeld(): Promise<boolean> {
    if (this.clock.monotonicMs() - this.heldAtMs >= leaseMs) await this.startSaving();
    return !this.ended;
  }

  /** Writes what is done, and gives the lease to whoever wants it. */
  async release(): Promise<void> {
    const wasLost = this.ended;
    this.end();
    await this.saving;
    if (!wasLost) await this.write("").catch(() => {});
  }

  private end(): void {
    this.ended = true;
    this.timer?.timer.cancel();
  }

  private saveWithin(delayMs: number): void {
    const dueMs = this.clock.monotonicMs() + delayMs;
    if (this.ended || this.saving || (this.timer && this.timer.dueMs <= dueMs)) return;
    this.timer?.timer.cancel();
    const timer = this.clock.setTimer(delayMs, () => void this.startSaving());
    this.timer = { timer, dueMs };
  }

  private startSaving(): Promise<void> {
    this.timer?.timer.cancel();
    this.timer = undefined;
    this.saving ??= this.save().finally(() => {
      this.saving = undefined;
      this.saveWithin(this.done > this.saved ? saveDelayMs : renewMs);
    });
    return this.saving;
  }

  private async save(): Promise<void> {
    try {
      await this.write(this.owner);
    } catch {
      await this.learn().catch(() => {});
    }
  }

  /** A write failed, or nobody knows: what is there now? */
  private async learn(): Promise<void> {
    const last = await this.checkpoints.reads.last(this.subject, true);
    if (last && decode(last).owner === this.owner) {
      this.revision = last.sequence;
      return;
    }
    if (!this.ended) this.resolveLost();
    this.end();
  }

  private async write(owner: string): Promise<void> {
    const sequence = this.done;
    const data = Buffer.from(JSON.stringify({ sequence, owner } satisfies Stored));
    const options = { expectedLastSequence: this.revision };
    const startMs = this.clock.monotonicMs();
    this.revision = await this.checkpoints.appends.add(this.subject, data, options);
    this.saved = sequence;
    this.heldAtMs = startMs;
  }
}

function decode(entry: StreamEntry | undefined): Stored {
  if (!entry) return { sequence: 0, owner: "" };
  return JSON.parse(Buffer.from(entry.data).toString());
}
