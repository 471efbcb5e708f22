/**
 * What a client id became. Usually that stands in a partition with the same key as the
 * message's, so that Cassandra writes both as one; of a hot channel's messages, whose partitions
 * of an hour would be too many to look into, and of revisions, whose messages may be of any age,
 * each has a partition of its own.
 */
import type { Message } from "../../../gen/parley/message/v1/message_pb.js";
import type { Cassandra } from "../../../mesh/cassandra.ts";
import type { Statement, Write } from "../../../mesh/cassandra-batches.ts";
import type { ChannelItem } from "../channel/channel-item.ts";
import {
  decodePlacement,
  encodePlacement,
  type Placement,
  placementOf,
} from "../channel/placement.ts";
import { isWide, wideBucketBefore } from "./message-store-cassandra-buckets.ts";

/** Wide buckets that 30 days and a persist that is ten days behind can touch. */
const bucketsMax = 5;

const insertByBucket = `INSERT INTO sends_by_bucket
  (channel_id, bucket, sender_id, client_message_id, placement) VALUES (?, ?, ?, ?, ?)
  USING TIMESTAMP ?`;
const insertByClientId = `INSERT INTO sends_by_client_id
  (channel_id, sender_id, client_message_id, placement) VALUES (?, ?, ?, ?) USING TIMESTAMP ?`;
const selectNewestBucket = `SELECT bucket FROM buckets_by_channel WHERE channel_id = ?
  ORDER BY bucket DESC LIMIT 1`;
const selectByBucket = `SELECT placement FROM sends_by_bucket
  WHERE channel_id = ? AND bucket = ? AND sender_id = ? AND client_message_id = ?`;
const selectByClientId = `SELECT placement FROM sends_by_client_id
  WHERE channel_id = ? AND sender_id = ? AND client_message_id = ?`;

/** The write that goes with a message's into a bucket, whose partition has that name. */
export function sendWrite(message: Message, bucket: number, partition: string): Write {
  const item = { case: "message", value: message } as const;
  if (!isWide(bucket)) return singleSendWrite(item);
  const { channelId, senderId, clientMessageId, channelSequence } = message;
  const placement = encodePlacement(placementOf(item));
  const sequence = BigInt(channelSequence);
  const values = [channelId, bucket, senderId, clientMessageId, placement, sequence];
  return { cql: insertByBucket, values, partition };
}

/** The write for an item that is found apart from all buckets. */
export function singleSendWrite(item: ChannelItem): Write {
  const { channelId, senderId, clientMessageId, channelSequence } = item.value;
  const placement = encodePlacement(placementOf(item));
  const sequence = BigInt(channelSequence);
  return {
    cql: insertByClientId,
    values: [channelId, senderId, clientMessageId, placement, sequence],
    partition: `send ${channelId} ${senderId} ${clientMessageId}`,
  };
}

/** What the client id became, where it did so in the last 30 days. */
export async function findPlacement(
  connection: Cassandra,
  channelId: string,
  senderId: string,
  clientMessageId: string,
): Promise<Placement | undefined> {
  const [newest] = await connection.read({ cql: selectNewestBucket, values: [channelId] });
  const queries: Statement[] = [
    { cql: selectByClientId, values: [channelId, senderId, clientMessageId] },
  ];
  for (let i = 0; newest && i < bucketsMax; i++) {
    const bucket = wideBucketBefore(newest.bucket as number, i);
    const values = [channelId, bucket, senderId, clientMessageId];
    if (bucket >= 0) queries.push({ cql: selectByBucket, values });
  }
  const rows = (await connection.readAll(queries)).flat();
  return rows
    .map((row) => decodePlacement(row.placement as Buffer))
    .reduce<Placement | undefined>(newer, undefined);
}

function newer(a: Placement | undefined, b: Placement): Placement {
  return a && a.channelSequence > b.channelSequence ? a : b;
}
