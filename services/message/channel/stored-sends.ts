/** Recognises a send that memory no longer holds. */
import { unavailable } from "../../../mesh/errors.ts";
import { logSubject, type Stream } from "../../../mesh/streams.ts";
import type { MessageStore } from "../store/message-store.ts";
import { persistWorker } from "../workers/persist.ts";
import type { ChannelItem } from "./channel-item.ts";
import type { LoadedChannel } from "./channel-loader.ts";
import { readTail } from "./log-tail.ts";
import { type Placement, placementOf } from "./placement.ts";

/**
 * Looks a client id up in what the log holds beyond the store, and in the store. The checkpoint
 * is read first and the store last: whatever the log does not show in between is in the store.
 * @throws StreamUnavailable, StoreUnavailable, DomainError UNAVAILABLE: never a guess.
 */
export async function findStoredSend(
  channelId: string,
  senderId: string,
  clientMessageId: string,
  { snapshotLogSequence }: LoadedChannel,
  log: Stream,
  store: MessageStore,
): Promise<Placement | undefined> {
  const persisted = await log.checkpoint(persistWorker, logSubject(channelId));
  const tail = await readTail(channelId, persisted, snapshotLogSequence, log);
  const isIt = ({ value }: ChannelItem) =>
    value.senderId === senderId && value.clientMessageId === clientMessageId;
  const found = tail.flat().find(isIt);
  if (found) return placementOf(found);
  const stored = await store.findSend(channelId, senderId, clientMessageId);
  if (stored) return stored;
  if (tail.length > 1) throw unavailable(`${channelId} has too much that is not in the store yet`);
  return undefined;
}
