import type { LmdbEnvironment } from "./lmdb.ts";

/** Writes that wait, and their bytes, at most. */
const waitingMax = 65_536;
const waitingBytesMax = 64 << 20;

/** Writes of one transaction, and their bytes: a few milliseconds of the event loop. */
const groupMax = 1_024;
const groupBytesMax = 8 << 20;

/** A change that waits to be committed together with others. */
export interface GroupedWrite {
  /** About how much memory it holds. */
  readonly bytes: number;
  /**
   * Puts its records. Reads show what is committed; what goes before in this group is not. If it
   * throws, it must have put nothing: it has then failed, and the group goes on without it.
   */
  write(): void;
  /** The group is on disk. */
  committed(): void;
  /** It was not written, or its group's commit failed: it is not there, or nobody knows. */
  failed(error: unknown): void;
}

/** Whose records the groups hold. */
export interface GroupOwner {
  /** A group begins; may put records of its own. */
  beginGroup(): void;
  /** It is on disk; called before its writes are told. */
  groupCommitted(): void;
  /** It has changed nothing; called before its writes are told. */
  groupFailed(error: unknown): void;
}

/**
 * Commits writes in groups: an idle environment commits at once, and what gathers during a commit
 * travels in the next one. One commit is under way at a time, so a write sees everything before
 * it either committed or in its own group.
 */
export class GroupCommit {
  private readonly environment: LmdbEnvironment;
  private readonly owner: GroupOwner;
  private waiting: GroupedWrite[] = [];
  private waitingBytes = 0;
  private requested = false;
  private running: Promise<void> | undefined;

  constructor(environment: LmdbEnvironment, owner: GroupOwner) {
    this.environment = environment;
    this.owner = owner;
  }

  /** Queues a write; false: too much waits already (65,536 writes or 64 MiB). */
  add(write: GroupedWrite): boolean {
    if (this.waiting.length >= waitingMax || this.waitingBytes >= waitingBytesMax) return false;
    this.waiting.push(write);
    this.waitingBytes += write.bytes;
    this.request();
    return true;
  }

  /** Asks for a group even if nothing waits, for what the owner puts. */
  request(): void {
    this.requested = true;
    this.running ??= this.run();
  }

  /** Resolves when nothing waits. */
  async idle(): Promise<void> {
    while (this.running) await this.running;
  }

  private async run(): Promise<void> {
    // What the callers of this turn of the event loop still add travels in the first group.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.requested || this.waiting.length > 0) {
      this.requested = false;
      await this.commit(this.takeGroup());
    }
    this.running = undefined;
  }

  private takeGroup(): GroupedWrite[] {
    let count = 0;
    let bytes = 0;
    while (count < this.waiting.length && count < groupMax && bytes < groupBytesMax) {
      bytes += this.waiting[count++]!.bytes;
    }
    this.waitingBytes -= bytes;
    if (count < this.waiting.length) return this.waiting.splice(0, count);
    const all = this.waiting;
    this.waiting = [];
    return all;
  }

  private async commit(group: GroupedWrite[]): Promise<void> {
    let writes = group;
    let failure: { cause: unknown } | undefined;
    try {
      await this.environment.batch(() => {
        // What is thrown here would not keep the library from committing what was put before.
        try {
          this.owner.beginGroup();
          writes = group.filter(attempt);
        } catch (cause) {
          failure = { cause };
        }
      });
    } catch (error) {
      failure = { cause: await causeOf(error) };
    }
    if (failure) {
      this.owner.groupFailed(failure.cause);
      for (const write of writes) write.failed(failure.cause);
    } else {
      this.owner.groupCommitted();
      for (const write of writes) write.committed();
    }
  }
}

function attempt(write: GroupedWrite): boolean {
  try {
    write.write();
    return true;
  } catch (error) {
    write.failed(error);
    return false;
  }
}

/** LMDB's own error, which the library keeps in a promise of the one that it throws. */
async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && "commitError" in error)) return error;
  return Promise.resolve(error.commitError).catch((cause: unknown) => cause);
}
