/**
 * Device cursors in Cassandra. A cursor's numbers only grow within an epoch, so each is written
 * with itself as its timestamp: the greater one stays, in whatever order writes arrive. That a
 * device has come to another epoch is a new row, a visit, numbered by the time and always above
 * the visits before it; a return to an epoch is another visit. The cursor is the newest visit;
 * where several writers saw the same change of epoch at once, it is what their visits come to.
 */
import type { Cassandra } from "../../../mesh/cassandra.ts";
import type { Write } from "../../../mesh/cassandra-batches.ts";
import type { Clock } from "../../../mesh/clock.ts";
import type { DeviceCursorRow } from "./message-store.ts";

/** Writers that can see the same change of epoch at once without forgetting what one of them says. */
const writersMax = 16;

const select = `SELECT visit, inbox_epoch, inbox_sequence, cur_max_message_id FROM cursors
  WHERE user_id = ? AND device_id = ? LIMIT ${writersMax}`;
// Two statements, as each number has a timestamp of its own; one batch, so that a row has both.
const insertSequence = `INSERT INTO cursors
  (user_id, device_id, visit, inbox_epoch, inbox_sequence) VALUES (?, ?, ?, ?, ?)
  USING TIMESTAMP ?`;
const insertMessageId = `INSERT INTO cursors
  (user_id, device_id, visit, inbox_epoch, cur_max_message_id) VALUES (?, ?, ?, ?, ?)
  USING TIMESTAMP ?`;

/** Where a device's cursor stands, and in which visit. */
export interface Visit {
  cursor: DeviceCursorRow;
  visit: bigint;
}

/** Reads a cursor. */
export async function readVisit(
  connection: Cassandra,
  userId: string,
  deviceId: string,
): Promise<Visit | undefined> {
  const rows = await connection.read({ cql: select, values: [userId, deviceId] });
  let newest: Visit | undefined;
  for (const row of rows) {
    const inboxEpoch = row.inbox_epoch as string;
    if (newest && newest.cursor.inboxEpoch !== inboxEpoch) break;
    newest ??= {
      visit: row.visit as bigint,
      cursor: { userId, deviceId, inboxEpoch, inboxSequence: 0, curMaxMessageId: 0n },
    };
    const { cursor } = newest;
    cursor.inboxSequence = Math.max(cursor.inboxSequence, Number(row.inbox_sequence));
    const messageId = row.cur_max_message_id as bigint;
    if (messageId > cursor.curMaxMessageId) cursor.curMaxMessageId = messageId;
  }
  return newest;
}

/** Moves a cursor: within one epoch only forward, to another always. */
export async function moveCursor(
  connection: Cassandra,
  row: DeviceCursorRow,
  clock: Clock,
): Promise<void> {
  const { userId, deviceId, inboxEpoch, curMaxMessageId } = row;
  const inboxSequence = BigInt(row.inboxSequence);
  const newest = await readVisit(connection, userId, deviceId);
  const isSame = newest?.cursor.inboxEpoch === inboxEpoch;
  if (isSame && isBehind(row, newest.cursor)) return;
  const visit = isSame ? newest.visit : visitAfter(newest?.visit, clock);
  const key = [userId, deviceId, visit, inboxEpoch];
  const inPartition = (write: Omit<Write, "partition">) => ({ ...write, partition: "cursor" });
  await connection.write([
    inPartition({ cql: insertSequence, values: [...key, inboxSequence, inboxSequence] }),
    inPartition({ cql: insertMessageId, values: [...key, curMaxMessageId, curMaxMessageId] }),
  ]);
}

function isBehind(row: DeviceCursorRow, stored: DeviceCursorRow): boolean {
  const { inboxSequence, curMaxMessageId } = stored;
  return row.inboxSequence <= inboxSequence && row.curMaxMessageId <= curMaxMessageId;
}

/** A clock that is behind another's must not put the visit below the one that it follows. */
function visitAfter(newest: bigint | undefined, clock: Clock): bigint {
  const now = BigInt(clock.nowMs()) * 1_000n;
  return newest !== undefined && newest >= now ? newest + 1n : now;
}
