/** What the search index has not heard of yet. */
import type { Clock } from "../../../mesh/clock.ts";
import { messageIdMax, messageTimeMs, minId } from "../../../mesh/ids.ts";
import { logSubject, type Stream, StreamUnavailable } from "../../../mesh/streams.ts";
import { itemsOf } from "../channel/channel-item.ts";
import { decodeOrSkip } from "../channel/log-entries.ts";
import type { IdRange } from "../history/history-source.ts";
import { type MessageStore, StoreUnavailable } from "../store/message-store.ts";
import { indexWorker } from "../workers/indexing.ts";

/** What looking needs. */
export interface SearchLagDependencies {
  log: Stream;
  store: MessageStore;
  clock: Clock;
}

/** A lag of less is how the worker gathers, and is not told. */
const lagMsMax = 10_000;
/** Channels that are looked at: the index is behind in shards of the log, not in single ones. */
const channelsMax = 1_000;
/** Channels whose first entry that is not indexed is read. */
const probesMax = 16;

/**
 * The messages that a user's search may lack because the index is behind: from the oldest one that
 * is not indexed on; none where that is less than 10 s old. Everything where nobody can tell.
 */
export async function notIndexed(
  { userId, channelId }: { userId: string; channelId?: string },
  { log, store, clock }: SearchLagDependencies,
): Promise<IdRange[]> {
  try {
    const channelIds = channelId
      ? [channelId]
      : await store.listChannelIds(userId, "", channelsMax);
    const subjects = channelIds.map(logSubject);
    const indexed = new Map<string, number>();
    for (const subject of subjects) {
      const shard = log.epoch(subject);
      if (!indexed.has(shard)) indexed.set(shard, await log.checkpoint(indexWorker, subject));
    }
    const last = await log.lastSequences(subjects);
    const behind = subjects.filter((subject, i) => last[i]! > indexed.get(log.epoch(subject))!);
    const oldest = await Promise.all(
      behind.slice(0, probesMax).map(async (subject) => {
        const fromSequence = indexed.get(log.epoch(subject))! + 1;
        const { entries } = await log.read(subject, { fromSequence, limit: 1 });
        const entry = entries[0] && decodeOrSkip(entries[0]);
        return entry && itemsOf(entry).find((item) => item.case === "message")?.value.messageId;
      }),
    );
    const ids = oldest.filter((id) => id !== undefined);
    const minMessageId = ids.reduce((least, id) => minId(least, id), messageIdMax as bigint);
    const isLate = messageTimeMs(minMessageId) < clock.nowMs() - lagMsMax;
    return isLate ? [{ minMessageId, maxMessageId: messageIdMax }] : [];
  } catch (thrown) {
    if (!(thrown instanceof StreamUnavailable || thrown instanceof StoreUnavailable)) throw thrown;
    return [{ minMessageId: 1n, maxMessageId: messageIdMax }];
  }
}
