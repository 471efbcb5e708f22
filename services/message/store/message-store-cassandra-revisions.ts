/** The index of a channel's revisions, and by which client ids they are found. */
import type { Revision } from "../../../gen/parley/message/v1/message_pb.js";
import type { Cassandra } from "../../../mesh/cassandra.ts";
import type { Write } from "../../../mesh/cassandra-batches.ts";
import type { RevisionRange, RevisionRow } from "./message-store.ts";
import { singleSendWrite } from "./message-store-cassandra-sends.ts";

/** Sequences to a partition: 5 MB, were all of them revisions. Stored: never change it. */
const partLength = 100_000;
/** Partitions that are read at one time. */
const partsMax = 16;

const insertRow = `INSERT INTO revisions_by_channel
  (channel_id, part, channel_sequence, message_id) VALUES (?, ?, ?, ?) USING TIMESTAMP ?`;
const selectRows = `SELECT channel_sequence, message_id FROM revisions_by_channel
  WHERE channel_id = ? AND part = ? AND channel_sequence >= ? AND channel_sequence <= ? LIMIT ?`;

/** Writes by which a revision is found. */
export function revisionRowWrites(revision: Revision): Write[] {
  const { channelId, channelSequence, messageId } = revision;
  const part = partOf(channelSequence);
  const sequence = BigInt(channelSequence);
  const values = [channelId, part, sequence, messageId, sequence];
  const partition = `revisions ${part} ${channelId}`;
  const item = { case: "revision", value: revision } as const;
  return [{ cql: insertRow, values, partition }, singleSendWrite(item)];
}

/** As the port's listRevisions. */
export async function listRevisionRows(
  connection: Cassandra,
  { channelId, minSequence, maxSequence, limit }: RevisionRange,
): Promise<RevisionRow[]> {
  const found: RevisionRow[] = [];
  const bounds = [BigInt(minSequence), BigInt(maxSequence)];
  const last = partOf(maxSequence);
  for (let part = partOf(minSequence); part <= last && found.length < limit; part += partsMax) {
    const parts = Array.from({ length: Math.min(partsMax, last - part + 1) }, (_, i) => part + i);
    const rows = await connection.readAll(
      parts.map((each) => ({ cql: selectRows, values: [channelId, each, ...bounds, limit] })),
    );
    for (const row of rows.flat()) {
      const channelSequence = Number(row.channel_sequence);
      found.push({ channelSequence, messageId: row.message_id as bigint });
    }
  }
  return found.slice(0, limit);
}

function partOf(channelSequence: number): number {
  return Math.floor(channelSequence / partLength);
}
