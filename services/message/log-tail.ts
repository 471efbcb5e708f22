/** The end of a channel's log: what is not, or may not be, in the store yet. */
import type { Message } from "../../gen/parley/message/v1/message_pb.js";
import type { Stream } from "../../mesh/streams.ts";
import { decode, entriesOf } from "./log-entries.ts";

/**
 * Bytes that are read of what lies before the channel's latest snapshot. What follows it is read
 * whole: a snapshot comes every 4 MB.
 */
const olderBytesMax = 4 * 1024 * 1024;

/** The messages of a channel's log after a sequence, without holes. */
export type LogTail = readonly [Message[]];
/** The beginning and the end of a tail that is too long to be read whole. */
export type CutLogTail = readonly [older: Message[], newest: Message[]];

/**
 * Reads a tail from the leader: all of it, or its beginning and everything from the latest
 * snapshot on.
 * @param after the log sequence after which it begins
 * @param snapshotLogSequence where the channel's latest snapshot is; 0: not known
 * @throws StreamUnavailable
 */
export async function readTail(
  channelId: string,
  after: number,
  snapshotLogSequence: number,
  log: Stream,
): Promise<LogTail | CutLogTail> {
  const newestFrom = Math.max(after + 1, snapshotLogSequence);
  const older = await readRange(after + 1, newestFrom - 1, olderBytesMax);
  const newest = await readRange(newestFrom, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY);
  if (older.more) return [older.messages, newest.messages];
  return [[...older.messages, ...newest.messages]];

  async function readRange(fromSequence: number, toSequence: number, bytesMax: number) {
    const messages: Message[] = [];
    let bytes = 0;
    for await (const stored of entriesOf(channelId, log, fromSequence, toSequence)) {
      if (bytes >= bytesMax) return { messages, more: true };
      for (const { item } of decode(stored).items) {
        if (item.case === "message") messages.push(item.value);
      }
      bytes += stored.data.length;
    }
    return { messages, more: false };
  }
}
