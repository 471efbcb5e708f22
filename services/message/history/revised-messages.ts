import type { Message } from "../../../gen/parley/message/v1/message_pb.js";
import type { HistorySource } from "./history-source.ts";
import { bytesOf } from "./message-bytes.ts";

/** Revisions looked at for one page: many may be of one message. */
const scanMax = 1_000;
/** Bytes of a page, as history.ts has them. */
const pageBytesMax = 384 * 1024;
/** Messages that are read at once. */
const readsMax = 16;

/** Messages that were revised. */
export interface RevisedPage {
  /** As the reader sees them now, in the order of their newest revisions. */
  messages: Message[];
  /** Every revision up to this item, inclusive, is in these or those before. */
  through: number;
  /** Whether there are no more for now. */
  isEnd: boolean;
  /** Whether none may be missing up to `through`. */
  isWhole: boolean;
}

/**
 * Reads which messages were revised after an item. A message stands where its newest revision is:
 * the earlier ones are passed over, so that each comes once.
 * @throws StreamUnavailable
 */
export async function readRevised(
  source: HistorySource,
  after: number,
  limit: number,
): Promise<RevisedPage> {
  const { rows, isWhole } = await source.revisions(after + 1, scanMax);
  const newest = new Map(rows.map((row) => [row.messageId, row.channelSequence]));
  const targets = rows.filter((row) => newest.get(row.messageId) === row.channelSequence);
  const { lastChannelSequence } = source.channel;
  const end = Math.max(after, Math.min(lastChannelSequence, source.visibility.lastSequence));
  let through = rows.length < scanMax ? end : rows.at(-1)!.channelSequence;
  let isRead = true;
  const messages: Message[] = [];
  let bytes = 0;
  for (let from = 0; from < targets.length; from += readsMax) {
    const chunk = targets.slice(from, from + readsMax);
    const read = await Promise.all(chunk.map((row) => readOne(source, row.messageId)));
    for (const [i, message] of read.entries()) {
      const { channelSequence, messageId } = chunk[i]!;
      if (messages.length === limit || bytes > pageBytesMax) {
        return { messages, through: channelSequence - 1, isEnd: false, isWhole: isWhole && isRead };
      }
      if (!message) isRead &&= !isMissing(messageId, source);
      else if (source.visibility.includes(message.channelSequence)) {
        messages.push(message);
        bytes += bytesOf(message);
      }
    }
  }
  through = Math.min(through, end);
  return { messages, through, isEnd: through >= end, isWhole: isWhole && isRead };
}

async function readOne(source: HistorySource, messageId: bigint): Promise<Message | undefined> {
  const [message] = await source.read(messageId, messageId, false, 1);
  return message;
}

function isMissing(messageId: bigint, source: HistorySource): boolean {
  return source.missing().some(({ minMessageId, maxMessageId }) => {
    return minMessageId <= messageId && messageId <= maxMessageId;
  });
}
