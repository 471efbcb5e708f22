import { after, type PresenceRow, type PresenceStore } from "./presence-store.ts";

/** Presence in memory, for tests. */
export class MemoryPresenceStore implements PresenceStore {
  private readonly rows = new Map<string, PresenceRow>();

  async put(rows: readonly PresenceRow[]): Promise<void> {
    for (const row of rows) this.rows.set(row.userId, after(this.rows.get(row.userId), row));
  }

  async get(userIds: readonly string[]): Promise<(PresenceRow | undefined)[]> {
    return userIds.map((userId) => this.rows.get(userId));
  }

  async listOnline(afterUserId: string, limit: number): Promise<PresenceRow[]> {
    return [...this.rows.values()]
      .filter(({ userId, isOnline }) => isOnline && userId > afterUserId)
      .sort((a, b) => (a.userId < b.userId ? -1 : 1))
      .slice(0, limit);
  }

  async close(): Promise<void> {}
}
