/**
 * Stores rows later and together: each user's latest, at most once in `delayMs`. A crash loses
 * what has not been written: a user's last change of status, which is set right when the next
 * instance has settled, and the time since the user came online as "last active".
 */
import type { Clock, Timer } from "../../mesh/clock.ts";
import type { Logger } from "../../mesh/logger.ts";
import { after, type PresenceRow, type PresenceStore, rowsMax } from "./presence-store.ts";

/** What writing behind needs. */
export interface WriteBehindOptions {
  store: PresenceStore;
  delayMs: number;
  clock: Clock;
  log: Logger;
}

/** Users whose rows may wait; past it the oldest row is given up. */
const waitingMax = 200_000;
/** The least pause after the store has failed. */
const retryMs = 1_000;

/** A store as it will be. */
export class WriteBehind {
  private readonly options: WriteBehindOptions;
  /** What is not stored yet, what is under way included. */
  private readonly waiting = new Map<string, PresenceRow>();
  private timer: Timer | undefined;
  private writing: Promise<boolean> | undefined;
  private givenUp = 0;

  constructor(options: WriteBehindOptions) {
    this.options = options;
  }

  /** Stores a row soon. */
  put(row: PresenceRow): void {
    const before = this.waiting.get(row.userId);
    this.waiting.delete(row.userId);
    if (this.waiting.size >= waitingMax) {
      const [oldest] = this.waiting.keys();
      this.waiting.delete(oldest!);
      const givenUp = ++this.givenUp;
      if (givenUp % 1_000 === 1) {
        this.options.log.warn({ event: "presence_rows_given_up", given_up: givenUp });
      }
    }
    this.waiting.set(row.userId, after(before, row));
    this.schedule(this.options.delayMs);
  }

  /** The latest rows, stored or not, of at most {@link rowsMax} users. Rejects as the store. */
  async get(userIds: readonly string[]): Promise<(PresenceRow | undefined)[]> {
    const stored = await this.options.store.get(userIds);
    return userIds.map((userId, i) => {
      const waiting = this.waiting.get(userId);
      return waiting ? after(stored[i], waiting) : stored[i];
    });
  }

  /** Stores what waits now. Resolves with whether the store took it. */
  async flush(): Promise<boolean> {
    while (this.writing) await this.writing;
    this.writing = this.write();
    const isStored = await this.writing;
    this.writing = undefined;
    if (this.waiting.size > 0) this.schedule(isStored ? this.options.delayMs : retryMs);
    return isStored;
  }

  /** Stores what waits and writes no more. */
  async close(): Promise<void> {
    await this.flush();
    this.timer?.cancel();
  }

  private schedule(delayMs: number): void {
    this.timer ??= this.options.clock.setTimer(delayMs, () => {
      this.timer = undefined;
      void this.flush();
    });
  }

  private async write(): Promise<boolean> {
    const rows = [...this.waiting.values()];
    for (let from = 0; from < rows.length; from += rowsMax) {
      const batch = rows.slice(from, from + rowsMax);
      try {
        await this.options.store.put(batch);
      } catch (error) {
        this.options.log.warn({
          event: "presence_not_stored",
          rows: rows.length - from,
          err: error,
        });
        return false;
      }
      for (const row of batch) {
        if (this.waiting.get(row.userId) === row) this.waiting.delete(row.userId);
      }
    }
    return true;
  }
}
