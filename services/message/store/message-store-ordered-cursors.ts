import type { MemberCursorRow } from "./message-store.ts";
import type { OrderedMap } from "./message-store-ordered-map.ts";
import { keyAfter, keyString, rowKey, Table } from "./message-store-rows.ts";

/** Members' cursors in an ordered map. */
export class OrderedMemberCursors {
  private readonly map: OrderedMap;

  constructor(map: OrderedMap) {
    this.map = map;
  }

  /** Where a member's cursor stands. */
  get(channelId: string, userId: string): MemberCursorRow | undefined {
    const value = this.map.get(rowKey(Table.MEMBER_CURSORS, channelId, userId));
    return value && decode(channelId, userId, value);
  }

  /** Those of a channel after a user, by user. */
  list(channelId: string, afterUserId: string, limit: number): MemberCursorRow[] {
    const start = keyAfter(rowKey(Table.MEMBER_CURSORS, channelId, afterUserId));
    const end = keyAfter(rowKey(Table.MEMBER_CURSORS, channelId));
    const rows: MemberCursorRow[] = [];
    for (const { key, value } of this.map.range(start, end, false)) {
      const userId = keyString(key, channelId.length + 2);
      if (rows.push(decode(channelId, userId, value)) === limit) break;
    }
    return rows;
  }

  /** Moves one forward. Only within a transaction. */
  move(row: MemberCursorRow): void {
    const { channelId, userId } = row;
    const stored = this.get(channelId, userId);
    const moved = stored ? furthest(stored, row) : row;
    if (moved === stored) return;
    this.map.put(rowKey(Table.MEMBER_CURSORS, channelId, userId), encode(moved));
  }
}

/** The stored row itself where the other is no further. */
function furthest(stored: MemberCursorRow, row: MemberCursorRow): MemberCursorRow {
  const isDelivered = row.deliveredMessageId > stored.deliveredMessageId;
  const isRead = row.readMessageId > stored.readMessageId;
  if (!isDelivered && !isRead) return stored;
  const { readMessageId, readMessageNumber } = isRead ? row : stored;
  const { deliveredMessageId } = isDelivered ? row : stored;
  const moveTimeMs = Math.max(stored.moveTimeMs, row.moveTimeMs);
  return { ...stored, deliveredMessageId, readMessageId, readMessageNumber, moveTimeMs };
}

function encode(row: MemberCursorRow): Buffer {
  const value = Buffer.allocUnsafe(26);
  value.writeBigUInt64BE(row.deliveredMessageId);
  value.writeBigUInt64BE(row.readMessageId, 8);
  value.writeUInt32BE(row.readMessageNumber, 16);
  value.writeUIntBE(row.moveTimeMs, 20, 6);
  return value;
}

function decode(channelId: string, userId: string, value: Buffer): MemberCursorRow {
  return {
    channelId,
    userId,
    deliveredMessageId: value.readBigUInt64BE(),
    readMessageId: value.readBigUInt64BE(8),
    readMessageNumber: value.readUInt32BE(16),
    moveTimeMs: value.readUIntBE(20, 6),
  };
}
