import { logSubject, type Stream } from "../../../mesh/streams.ts";
import { revised } from "../store/message-revisions.ts";
import { type MessageStore, type StoredMessage, StoreUnavailable } from "../store/message-store.ts";
import { persistWorker } from "../workers/persist.ts";
import type { LoadedChannel } from "./channel-loader.ts";
import { readTail } from "./log-tail.ts";
import { type Found, reactionKey, type Target } from "./revision-targets.ts";

/**
 * Finds messages by id, at least as of the channel's last known entry, and keeps them at hand.
 * What the log has beyond the store is read first and the store last, so that nothing falls
 * between; where the store is away, all that the log still holds takes its place.
 * @throws StreamUnavailable
 */
export async function findTargets(
  channelId: string,
  messageIds: readonly bigint[],
  loaded: LoadedChannel,
  log: Stream,
  store: MessageStore,
): Promise<Map<bigint, Found>> {
  const found = new Map<bigint, Found>();
  const wanted = new Set<bigint>();
  for (const messageId of messageIds) {
    const target = loaded.targets.get(messageId);
    if (target) found.set(messageId, target);
    else wanted.add(messageId);
  }
  if (wanted.size === 0) return found;
  const ids = [...wanted];
  const persisted = await log.checkpoint(persistWorker, logSubject(channelId));
  let tail = await tailAfter(persisted);
  let stored: (StoredMessage | undefined)[] | undefined;
  try {
    stored = await Promise.all(ids.map((messageId) => readStored(channelId, messageId, store)));
  } catch (thrown) {
    if (!(thrown instanceof StoreUnavailable)) throw thrown;
    tail = await tailAfter(0);
  }
  for (const [i, messageId] of ids.entries()) {
    const sent = tail.flat().find(({ case: kind, value }) => {
      return kind === "message" && value.messageId === messageId;
    });
    const known =
      stored?.[i] ?? (sent?.case === "message" && { message: sent.value, reactions: [] });
    const isWhole = tail.length === 1;
    if (known && isWhole) {
      const revisions = tail[0].flatMap(({ case: kind, value }) => {
        return kind === "revision" && value.messageId === messageId ? value : [];
      });
      const target = targetOf(revised(known, revisions));
      loaded.targets.set(target);
      found.set(messageId, target);
    } else {
      const reachesBack = stored !== undefined || tail[0][0]?.value.channelSequence === 1;
      found.set(messageId, isWhole && reachesBack ? "missing" : "unreadable");
    }
  }
  return found;

  function tailAfter(sequence: number) {
    return readTail(channelId, sequence, loaded.snapshotLogSequence, log);
  }
}

async function readStored(channelId: string, messageId: bigint, store: MessageStore) {
  const only = { minMessageId: messageId, maxMessageId: messageId, newestFirst: true, limit: 1 };
  const [stored] = await store.listMessages({ channelId, ...only });
  return stored;
}

function targetOf({ message, reactions }: StoredMessage): Target {
  const { messageId, channelSequence, senderId, body, deleteTime } = message;
  return {
    ...{ messageId, channelSequence, senderId, isDeleted: deleteTime !== undefined },
    isText: body.case === "text" || deleteTime !== undefined,
    reactions: new Map(
      reactions.map(({ userId, emoji, given }) => [reactionKey(userId, emoji), given]),
    ),
  };
}
