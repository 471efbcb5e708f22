/**
 * A message's row in Cassandra. Its body has a column of its own, so that an edit is one blind
 * write: of the message as it was sent, its edits and its deletion the body with the greatest
 * timestamp, which is the sequence, stays, whichever comes last. Each reaction is a cell of a map
 * and has a timestamp too. A row without `message` is what revisions left that came before it.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type Message,
  MessageSchema,
  type Revision,
} from "../../../gen/parley/message/v1/message_pb.js";
import type { CassandraRow } from "../../../mesh/cassandra.ts";
import type { Write } from "../../../mesh/cassandra-batches.ts";
import {
  bodyOf,
  bodySequence,
  type MessageBody,
  noBody,
  revisedBody,
  revisedReaction,
  withBody,
} from "./message-revisions.ts";
import type { ReactionRow, StoredMessage } from "./message-store.ts";

/** What {@link storedMessageOf} reads. */
export const messageColumns = "message_id, message, body, reactions";

const insertMessage = `INSERT INTO messages (channel_id, bucket, message_id, message, body)
  VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?`;
const updateBody = `UPDATE messages USING TIMESTAMP ? SET body = ?
  WHERE channel_id = ? AND bucket = ? AND message_id = ?`;
const updateReaction = `UPDATE messages USING TIMESTAMP ? SET reactions[?] = ?
  WHERE channel_id = ? AND bucket = ? AND message_id = ?`;

/** Writes a message. */
export function messageWrite(message: Message, bucket: number, partition: string): Write {
  const { channelId, messageId } = message;
  const envelope = encode(withBody(message, noBody));
  const body = encodeBody(bodyOf(message));
  const values = [channelId, bucket, messageId, envelope, body, BigInt(bodySequence(message))];
  return { cql: insertMessage, values, partition };
}

/** Writes what a revision changes of its message. */
export function revisionWrites(revision: Revision, bucket: number, partition: string): Write[] {
  const { channelId, messageId, channelSequence } = revision;
  const timestamp = BigInt(channelSequence);
  const key = [channelId, bucket, messageId];
  const body = revisedBody(revision);
  if (body) {
    const values = [timestamp, encodeBody(body), ...key];
    return [{ cql: updateBody, values, partition }];
  }
  const reaction = revisedReaction(revision);
  if (!reaction) return [];
  const { emoji, userId, given } = reaction;
  const values = [timestamp, `${emoji} ${userId}`, given ? timestamp : -timestamp, ...key];
  return [{ cql: updateReaction, values, partition }];
}

/** The message in a row; undefined: only revisions of it. */
export function storedMessageOf(row: CassandraRow): StoredMessage | undefined {
  if (!row.message) return undefined;
  // One message encoded in two parts: decoding them in a row puts them together.
  const bytes = Buffer.concat([row.message as Buffer, row.body as Buffer]);
  const cells = (row.reactions ?? {}) as unknown as Record<string, bigint>;
  return {
    message: fromBinary(MessageSchema, bytes),
    reactions: Object.entries(cells).map(([key, signed]) => reactionOf(key, Number(signed))),
  };
}

function encodeBody(body: MessageBody): Buffer {
  return encode(withBody(create(MessageSchema), body));
}

function encode(message: Message): Buffer {
  return Buffer.from(toBinary(MessageSchema, message));
}

function reactionOf(key: string, signed: number): ReactionRow {
  const space = key.lastIndexOf(" ");
  const [emoji, userId] = [key.slice(0, space), key.slice(space + 1)];
  return { emoji, userId, sequence: Math.abs(signed), given: signed > 0 };
}
