/**
 * Members' cursors in Cassandra. Each position is written with itself as its timestamp, so that
 * the greater one stays in whatever order writes arrive, and nothing is read before a write.
 */
import type { CassandraRow } from "../../../mesh/cassandra.ts";
import type { Statement, Write } from "../../../mesh/cassandra-batches.ts";
import type { MemberCursorRow } from "./message-store.ts";

const insertDelivered = `INSERT INTO cursors_by_channel
  (channel_id, user_id, delivered_message_id, delivered_time_ms) VALUES (?, ?, ?, ?)
  USING TIMESTAMP ?`;
const insertRead = `INSERT INTO cursors_by_channel
  (channel_id, user_id, read_message_id, read_message_number, read_time_ms) VALUES (?, ?, ?, ?, ?)
  USING TIMESTAMP ?`;
const columns = `user_id, delivered_message_id, delivered_time_ms,
  read_message_id, read_message_number, read_time_ms`;

/** The cursor of a member. */
export function selectCursor(channelId: string, userId: string): Statement {
  const where = "channel_id = ? AND user_id = ?";
  const cql = `SELECT ${columns} FROM cursors_by_channel WHERE ${where}`;
  return { cql, values: [channelId, userId] };
}

/** Those of a channel after a user. */
export function selectCursors(channelId: string, afterUserId: string, limit: number): Statement {
  const where = "channel_id = ? AND user_id > ? LIMIT ?";
  const cql = `SELECT ${columns} FROM cursors_by_channel WHERE ${where}`;
  return { cql, values: [channelId, afterUserId, limit] };
}

/** Moves a cursor: a write for each position that the row has. */
export function cursorWrites(row: MemberCursorRow): Write[] {
  const { channelId, userId, deliveredMessageId, readMessageId } = row;
  const timeMs = BigInt(row.moveTimeMs);
  const partition = `channel ${channelId}`;
  const writes: Write[] = [];
  if (deliveredMessageId > 0n) {
    const values = [channelId, userId, deliveredMessageId, timeMs, deliveredMessageId];
    writes.push({ cql: insertDelivered, values, partition });
  }
  if (readMessageId > 0n) {
    const number = BigInt(row.readMessageNumber);
    const values = [channelId, userId, readMessageId, number, timeMs, readMessageId];
    writes.push({ cql: insertRead, values, partition });
  }
  return writes;
}

/** A row of one of the selects; what was never written is null. */
export function cursorOf(channelId: string, row: CassandraRow): MemberCursorRow {
  const { delivered_time_ms: deliveredMs, read_time_ms: readMs } = row;
  return {
    channelId,
    userId: row.user_id as string,
    deliveredMessageId: (row.delivered_message_id as bigint | null) ?? 0n,
    readMessageId: (row.read_message_id as bigint | null) ?? 0n,
    readMessageNumber: Number(row.read_message_number ?? 0n),
    moveTimeMs: Math.max(Number(deliveredMs ?? 0n), Number(readMs ?? 0n)),
  };
}
