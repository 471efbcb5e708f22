/** The end of a channel's log: what is not, or may not be, in the store yet. */
import type { Stream } from "../../../mesh/streams.ts";
import { type ChannelItem, itemsOf } from "./channel-item.ts";
import { decode, entriesOf } from "./log-entries.ts";

/**
 * Bytes that are read of what lies before the channel's latest snapshot. What follows it is read
 * whole: a snapshot comes every 4 MB.
 */
const olderBytesMax = 4 * 1024 * 1024;

/** The items of a channel's log after a sequence, without holes. */
export type LogTail = readonly [ChannelItem[]];
/** The beginning and the end of a tail that is too long to be read whole. */
export type CutLogTail = readonly [older: ChannelItem[], newest: ChannelItem[]];

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
  if (older.more) return [older.items, newest.items];
  return [[...older.items, ...newest.items]];

  async function readRange(fromSequence: number, toSequence: number, bytesMax: number) {
    const items: ChannelItem[] = [];
    let bytes = 0;
    for await (const stored of entriesOf(channelId, log, fromSequence, toSequence)) {
      if (bytes >= bytesMax) return { items, more: true };
      items.push(...itemsOf(decode(stored)));
      bytes += stored.data.length;
    }
    return { items, more: false };
  }
}
