/**
 * Turns what is known of devices into changes of status that are stored and announced. Where this
 * instance has followed a user all along a change is a change. Where it has not (it has just
 * started, or become the owner) what is stored tells whether friends know already; and when it
 * has settled it sets right whatever changed while nobody looked.
 */
import type { Clock, Timer } from "../../mesh/clock.ts";
import type { Logger } from "../../mesh/logger.ts";
import type { Announcements } from "./announcements.ts";
import type { PresenceState } from "./presence-state.ts";
import { type PresenceRow, type PresenceStore, rowsMax } from "./presence-store.ts";
import type { Settling } from "./settling.ts";
import type { WriteBehind } from "./write-behind.ts";

/** What it takes to judge changes. */
export interface StatusChangesOptions {
  state: PresenceState;
  settling: Settling;
  rows: WriteBehind;
  store: PresenceStore;
  announcements: Announcements;
  clock: Clock;
  log: Logger;
}

/** The pause before what the store refused is compared again. */
const retryMs = 5_000;

/** The changes of one instance's users. */
export class StatusChanges {
  private readonly options: StatusChangesOptions;
  /** Users who are online and may have been all the time. */
  private readonly unconfirmed = new Set<string>();
  private isConfirming = false;
  private retry: Timer | undefined;
  private isStopped = false;

  constructor(options: StatusChangesOptions) {
    this.options = options;
  }

  /** A user's first device has come, or the last one has gone. */
  note(row: PresenceRow): void {
    const { settling } = this.options;
    if (settling.canTellOffline(row.userId)) this.publish(row);
    // Another instance speaks for the user.
    else if (!settling.owns(row.userId)) return;
    else if (row.isOnline) this.confirm([row.userId]);
    // When it has settled it will find who is stored as online.
    else void this.keepTime(row);
  }

  /** The instances have changed: who is online and has this owner now may not have been told of. */
  confirmGained(): void {
    const { state, settling } = this.options;
    const userIds = [...state.userIds].filter((userId) => !settling.canTellOffline(userId));
    this.confirm(userIds.filter((userId) => settling.owns(userId)));
  }

  /** Compares what is stored with what is known, now that absence can be judged. */
  async reconcile(): Promise<void> {
    try {
      // As long as the store is away nothing is told: everybody would be, again and again.
      if (!(await this.options.rows.flush())) throw new Error("the latest changes are not stored");
      await this.publishAbsent();
      this.confirm(this.options.state.userIds);
    } catch (error) {
      if (this.isStopped) return;
      this.options.log.warn({ event: "presence_not_reconciled", err: error });
      this.retry?.cancel();
      this.retry = this.options.clock.setTimer(retryMs, () => void this.reconcile());
    }
  }

  /** Nothing is published any more. */
  stop(): void {
    this.isStopped = true;
    this.retry?.cancel();
  }

  /** Stores until when a user was there whose friends are not told yet. */
  private async keepTime(row: PresenceRow): Promise<void> {
    const { rows, state } = this.options;
    const [stored] = await rows.get([row.userId]).catch(() => []);
    if (this.isStopped || state.isOnline(row.userId)) return;
    rows.put({ ...row, isOnline: stored?.isOnline ?? false });
  }

  private publish(row: PresenceRow): void {
    this.options.rows.put(row);
    this.options.announcements.add(row);
  }

  /** Publishes that users are offline who are stored as online. */
  private async publishAbsent(): Promise<void> {
    const { store, rows, state, settling } = this.options;
    const isAbsent = ({ userId }: PresenceRow) =>
      !state.isOnline(userId) && settling.canTellOffline(userId);
    let page: PresenceRow[] = [];
    do {
      page = await store.listOnline(page.at(-1)?.userId ?? "", rowsMax);
      const absent = page.filter(isAbsent).map(({ userId }) => userId);
      // Who has gone meanwhile has been told.
      const latest = absent.length > 0 ? await rows.get(absent) : [];
      if (this.isStopped) return;
      for (const row of latest) {
        if (row?.isOnline && isAbsent(row)) this.publish({ ...row, isOnline: false });
      }
      await nextTurn();
    } while (page.length === rowsMax);
  }

  /** Publishes that users are online, but for those who are stored so. */
  private confirm(userIds: Iterable<string>): void {
    for (const userId of userIds) this.unconfirmed.add(userId);
    if (!this.isConfirming) void this.confirmAll();
  }

  private async confirmAll(): Promise<void> {
    const { rows, state, settling } = this.options;
    this.isConfirming = true;
    while (this.unconfirmed.size > 0 && !this.isStopped) {
      // What gathers in this turn is looked up together.
      await nextTurn();
      const userIds = this.unconfirmed.values().take(rowsMax).toArray();
      for (const userId of userIds) this.unconfirmed.delete(userId);
      // Where the store can't tell, friends hear it once more.
      const stored = await rows.get(userIds).catch(() => []);
      for (const [i, userId] of userIds.entries()) {
        const lastActiveMs = state.lastActiveMs(userId);
        if (stored[i]?.isOnline || lastActiveMs === undefined || !settling.owns(userId)) continue;
        this.publish({ userId, isOnline: true, lastActiveMs });
      }
    }
    this.isConfirming = false;
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
