/**
 * Presence in LMDB. Database `rows`: user id → is online (1 byte), last active (6 bytes). Database
 * `online`: the ids of the users that are, so that they are found without reading everybody.
 */
import {
  integerKey,
  type LmdbDatabase,
  type LmdbEnvironment,
  openDatabase,
  openLmdb,
  readInteger,
} from "../../mesh/lmdb.ts";
import { after, type PresenceRow, type PresenceStore } from "./presence-store.ts";

/** Opens the store in a folder, or makes it. The caller holds the folder's lock. */
export async function openLmdbPresenceStore({ path }: { path: string }): Promise<PresenceStore> {
  return new LmdbPresenceStore(openLmdb(path));
}

class LmdbPresenceStore implements PresenceStore {
  private readonly environment: LmdbEnvironment;
  private readonly rows: LmdbDatabase;
  private readonly online: LmdbDatabase;

  constructor(environment: LmdbEnvironment) {
    this.environment = environment;
    this.rows = openDatabase(environment, "rows");
    this.online = openDatabase(environment, "online");
  }

  async put(rows: readonly PresenceRow[]): Promise<void> {
    const latest = new Map<string, PresenceRow>();
    for (const row of rows) {
      latest.set(row.userId, after(latest.get(row.userId) ?? this.read(row.userId), row));
    }
    await this.environment.batch(() => {
      for (const { userId, isOnline, lastActiveMs } of latest.values()) {
        const key = Buffer.from(userId);
        const flag = Buffer.from([isOnline ? 1 : 0]);
        this.rows.put(key, Buffer.concat([flag, integerKey(lastActiveMs)]));
        if (isOnline) this.online.put(key, flag);
        else this.online.remove(key);
      }
    });
  }

  async get(userIds: readonly string[]): Promise<(PresenceRow | undefined)[]> {
    return userIds.map((userId) => this.read(userId));
  }

  async listOnline(afterUserId: string, limit: number): Promise<PresenceRow[]> {
    // The least key that is greater.
    const start = Buffer.from(`${afterUserId}\0`);
    const userIds = [...this.online.getKeys({ start, limit })].map(String);
    return userIds.map((userId) => this.read(userId)!);
  }

  async close(): Promise<void> {
    await this.environment.close();
  }

  private read(userId: string): PresenceRow | undefined {
    const value = this.rows.get(Buffer.from(userId));
    return value && { userId, isOnline: value[0] === 1, lastActiveMs: readInteger(value, 1) };
  }
}
