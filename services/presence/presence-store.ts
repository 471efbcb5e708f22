/**
 * The key-value store behind Presence: what was last known of each user. This comment is the
 * specification; `presence-store.contract.ts` checks it for every adapter.
 *
 * A row replaces the user's row before it, but for its time, which never goes back. Where two
 * instances write one user's row (while users move between them), the last write stays. A read
 * sees every write that has resolved. Rows are a memory aid and need not survive the machine; the
 * truth is what edges report.
 */

/** What was last known of a user. */
export interface PresenceRow {
  userId: string;
  isOnline: boolean;
  /** When a device was last heard of, in ms since 1970. */
  lastActiveMs: number;
}

/** Stores presence. Every method rejects when the store can't be reached. */
export interface PresenceStore {
  /** Stores 1 to {@link rowsMax} rows; of two of one user the later stays. */
  put(rows: readonly PresenceRow[]): Promise<void>;

  /** The rows of at most {@link rowsMax} users, in their order; undefined: never stored. */
  get(userIds: readonly string[]): Promise<(PresenceRow | undefined)[]>;

  /** At most `limit` rows of users that are online, after `afterUserId`, ordered by user id. */
  listOnline(afterUserId: string, limit: number): Promise<PresenceRow[]>;

  /** Closes; nothing may be under way. */
  close(): Promise<void>;
}

/** A row as it stands after the one before it. */
export function after(before: PresenceRow | undefined, row: PresenceRow): PresenceRow {
  if (!before || before.lastActiveMs <= row.lastActiveMs) return row;
  return { ...row, lastActiveMs: before.lastActiveMs };
}

/** Rows to a call. */
export const rowsMax = 1_000;
