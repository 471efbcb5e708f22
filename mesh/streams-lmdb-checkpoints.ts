import type { Clock, Timer } from "./clock.ts";
import { integerKey, type LmdbDatabase, readInteger } from "./lmdb.ts";

/**
 * How long a checkpoint waits for a group to travel in. A commit of its own after each batch
 * would double the commits of an idle system; what is lost with a kill is done again.
 */
const delayMs = 100;

/** The checkpoints of a stream's workers. What they say is ahead of what is on disk. */
export class LmdbCheckpoints {
  private readonly clock: Clock;
  private readonly meta: LmdbDatabase;
  private readonly prefix: string;
  private readonly requestGroup: () => void;
  private readonly sequences = new Map<string, number>();
  /** Those that the next group carries. */
  private unsaved = new Set<string>();
  private saving = new Set<string>();
  private timer: Timer | undefined;

  constructor(clock: Clock, meta: LmdbDatabase, stream: string, requestGroup: () => void) {
    this.clock = clock;
    this.meta = meta;
    this.prefix = `${stream}/checkpoint/`;
    this.requestGroup = requestGroup;
  }

  /** The sequence up to which the worker has done its work; 0: nothing yet. */
  get(name: string): number {
    let sequence = this.sequences.get(name);
    if (sequence === undefined) {
      const saved = this.meta.getBinary(this.key(name));
      sequence = saved ? readInteger(saved) : 0;
      this.sequences.set(name, sequence);
    }
    return sequence;
  }

  /** Moves a checkpoint forward. */
  move(name: string, sequence: number): void {
    if (sequence <= this.get(name)) return;
    this.sequences.set(name, sequence);
    this.unsaved.add(name);
    this.timer ??= this.clock.setTimer(delayMs, this.requestGroup);
  }

  /** Puts what has moved. */
  beginGroup(): void {
    for (const name of this.unsaved) this.meta.put(this.key(name), integerKey(this.get(name)));
    this.saving = this.unsaved;
    this.unsaved = new Set();
    this.timer?.cancel();
    this.timer = undefined;
  }

  /** The group is committed or has failed. */
  endGroup(committed: boolean): void {
    if (!committed) for (const name of this.saving) this.unsaved.add(name);
  }

  private key(name: string): Buffer {
    return Buffer.from(this.prefix + name);
  }
}
