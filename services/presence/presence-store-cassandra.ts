/**
 * Presence in Cassandra. Of two rows of one user the one stands that its writer's clock says is
 * the later; the rows of one process are in order whatever its clock does. The time in a row is
 * its own write timestamp, so that the latest time stands. Users who are online stand in a second
 * table as well, by the beginnings of their ids, so that they are listed in order without reading
 * everybody; the beginnings in use are listed in a third. Whoever goes offline is deleted from the
 * second table: it would else hold everybody who ever was online.
 */
import { type Cassandra, type CassandraOptions, openCassandra } from "../../mesh/cassandra.ts";
import type { Write } from "../../mesh/cassandra-batches.ts";
import type { CassandraSchema } from "../../mesh/cassandra-schema.ts";
import type { Clock } from "../../mesh/clock.ts";
import { RecentMap } from "../../mesh/recent-map.ts";
import { after, type PresenceRow, type PresenceStore } from "./presence-store.ts";

/** Opens the store; as openCassandra, which also says what becomes of calls without a cluster. */
export async function openCassandraPresenceStore(
  options: Omit<CassandraOptions, "schema">,
): Promise<PresenceStore> {
  const connection = await openCassandra({ ...options, schema: presenceSchema });
  return new CassandraPresenceStore(connection, options.clock);
}

const presenceSchema: CassandraSchema = {
  part: "presence",
  steps: [
    {
      name: "0001_presence",
      statements: [
        `CREATE TABLE IF NOT EXISTS presence (
          user_id text PRIMARY KEY, is_online boolean, last_active_ms bigint
        ) WITH id = ':id'`,
        // Deletions are kept for an hour: a replica that was away for longer may show somebody
        // online who is not, which presence checks against what edges report.
        `CREATE TABLE IF NOT EXISTS online_users (
          beginning text, user_id text,
          PRIMARY KEY (beginning, user_id)
        ) WITH id = ':id' AND gc_grace_seconds = 3600`,
        `CREATE TABLE IF NOT EXISTS online_beginnings (
          part int, beginning text, PRIMARY KEY (part, beginning)
        ) WITH id = ':id'`,
      ],
    },
  ],
};

/**
 * Characters of a user id that name a partition: 1,296 partitions of random ids, of 8,000 users
 * when 10 million are online.
 */
const beginningLength = 2;
/** Beginnings known to be listed. */
const knownMax = 4_096;
/** Beginnings that are looked up at a time. */
const beginningsMax = 64;
/** Partitions that are read at one time. */
const readAheadMax = 16;

const insertPresence = `INSERT INTO presence (user_id, is_online)
  VALUES (?, ?) USING TIMESTAMP ?`;
const insertLastActive = `INSERT INTO presence (user_id, last_active_ms)
  VALUES (?, ?) USING TIMESTAMP ?`;
const insertOnline = `INSERT INTO online_users (beginning, user_id) VALUES (?, ?)
  USING TIMESTAMP ?`;
const deleteOnline = `DELETE FROM online_users USING TIMESTAMP ?
  WHERE beginning = ? AND user_id = ?`;
const insertBeginning = `INSERT INTO online_beginnings (part, beginning) VALUES (0, ?)`;
const selectPresence = `SELECT is_online, last_active_ms FROM presence WHERE user_id = ?`;
const selectBeginnings = `SELECT beginning FROM online_beginnings
  WHERE part = 0 AND beginning >= ? LIMIT ${beginningsMax}`;
const selectOnline = `SELECT user_id FROM online_users
  WHERE beginning = ? AND user_id > ? LIMIT ?`;

class CassandraPresenceStore implements PresenceStore {
  private readonly connection: Cassandra;
  private readonly clock: Clock;
  private readonly known = new RecentMap<string, true>(knownMax);
  private timestamp = 0n;

  constructor(connection: Cassandra, clock: Clock) {
    this.connection = connection;
    this.clock = clock;
  }

  async put(rows: readonly PresenceRow[]): Promise<void> {
    const timestamp = this.nextTimestamp();
    const latest = new Map<string, PresenceRow>();
    for (const row of rows) latest.set(row.userId, after(latest.get(row.userId), row));
    const writes = [...latest.values()].flatMap((row) => writesOf(row, timestamp));
    const beginnings = new Set([...latest.keys()].map(beginningOf));
    const unknown = [...beginnings].filter((beginning) => !this.known.get(beginning));
    for (const beginning of unknown) {
      writes.push({ cql: insertBeginning, values: [beginning], partition: "beginnings" });
    }
    await this.connection.write(writes);
    for (const beginning of unknown) this.known.set(beginning, true);
  }

  async get(userIds: readonly string[]): Promise<(PresenceRow | undefined)[]> {
    const found = await this.connection.readAll(
      userIds.map((userId) => ({ cql: selectPresence, values: [userId] })),
    );
    return found.map(
      ([row], i) =>
        row && {
          userId: userIds[i]!,
          isOnline: row.is_online as boolean,
          lastActiveMs: Number(row.last_active_ms),
        },
    );
  }

  async listOnline(afterUserId: string, limit: number): Promise<PresenceRow[]> {
    const userIds = await this.listOnlineIds(afterUserId, limit);
    const rows = await this.get(userIds);
    return userIds.map((userId, i) => {
      return { userId, isOnline: true, lastActiveMs: rows[i]?.lastActiveMs ?? 0 };
    });
  }

  private async listOnlineIds(afterUserId: string, limit: number): Promise<string[]> {
    const online: string[] = [];
    let next = beginningOf(afterUserId);
    while (true) {
      const rows = await this.connection.read({ cql: selectBeginnings, values: [next] });
      const beginnings = rows.map((row) => row.beginning as string);
      let readAhead = 1;
      for (let from = 0; from < beginnings.length; ) {
        const read = beginnings.slice(from, from + readAhead);
        from += read.length;
        readAhead = Math.min(2 * readAhead, readAheadMax);
        const queries = read.map((beginning) => ({
          cql: selectOnline,
          values: [beginning, afterUserId, limit - online.length],
        }));
        for (const row of (await this.connection.readAll(queries)).flat()) {
          if (online.push(row.user_id as string) === limit) return online;
        }
      }
      if (beginnings.length < beginningsMax) return online;
      next = `${beginnings.at(-1)}\0`;
    }
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  /** Microseconds, and greater than any before. */
  private nextTimestamp(): bigint {
    const now = BigInt(this.clock.nowMs()) * 1_000n;
    this.timestamp = now > this.timestamp ? now : this.timestamp + 1n;
    return this.timestamp;
  }
}

function beginningOf(userId: string): string {
  return userId.slice(0, beginningLength);
}

function writesOf({ userId, isOnline, lastActiveMs }: PresenceRow, timestamp: bigint): Write[] {
  const beginning = beginningOf(userId);
  const lastActive = BigInt(lastActiveMs);
  const presence = `presence ${userId}`;
  const online = `online ${beginning}`;
  const lastActiveTimestamp = lastActive * 1_000n;
  return [
    { cql: insertPresence, values: [userId, isOnline, timestamp], partition: presence },
    {
      cql: insertLastActive,
      values: [userId, lastActive, lastActiveTimestamp],
      partition: presence,
    },
    isOnline
      ? { cql: insertOnline, values: [beginning, userId, timestamp], partition: online }
      : { cql: deleteOnline, values: [timestamp, beginning, userId], partition: online },
  ];
}
