/** Recognises a send that memory no longer holds. */
import type { Message } from "../../gen/parley/message/v1/message_pb.js";
import { logSubject, type Stream } from "../../mesh/streams.ts";
import { decode } from "./channel-loader.ts";
import type { MessageStore } from "./message-store.ts";
import { persistWorker } from "./persist.ts";
import { type Placement, placementOf } from "./recent-sends.ts";

/**
 * Looks a client id up in the store and in what the log holds beyond it. The checkpoint is read
 * first: whatever it covers is in the store by then.
 * @throws StreamUnavailable, StoreUnavailable: never a guess.
 */
export async function findStoredSend(
  channelId: string,
  senderId: string,
  clientMessageId: string,
  log: Stream,
  store: MessageStore,
): Promise<Placement | undefined> {
  const persisted = await log.checkpoint(persistWorker, logSubject(channelId));
  const stored = await store.findSend(channelId, senderId, clientMessageId);
  if (stored) return placementOf(stored);
  for await (const message of messagesAfter(channelId, persisted, log)) {
    if (message.senderId === senderId && message.clientMessageId === clientMessageId) {
      return placementOf(message);
    }
  }
  return undefined;
}

/** The messages that a channel's log holds after a sequence, as the leader knows them. */
export async function* messagesAfter(
  channelId: string,
  sequence: number,
  log: Stream,
): AsyncGenerator<Message> {
  for (let fromSequence = sequence + 1, more = true; more; ) {
    const page = await log.read(logSubject(channelId), { fromSequence, fromLeader: true });
    for (const stored of page.entries) {
      for (const { item } of decode(stored).items) if (item.case === "message") yield item.value;
      fromSequence = stored.sequence + 1;
    }
    more = page.more;
  }
}
