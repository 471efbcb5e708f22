import type { MembershipRow } from "../store/message-store.ts";
import {
  checkIndexBatch,
  type IndexBatch,
  type IndexedChannel,
  type IndexedText,
  type IndexHit,
  type IndexPosition,
  type IndexQuery,
  type SearchIndex,
} from "./search-index.ts";
import { findPhrases } from "./search-query.ts";

/** The search index in memory, for tests: it looks at every text. Ranks count what is found. */
export class MemorySearchIndex implements SearchIndex {
  private readonly texts = new Map<bigint, IndexedText>();
  private readonly stays = new Map<string, MembershipRow>();
  private readonly channels = new Map<string, IndexedChannel>();

  async apply(batch: IndexBatch): Promise<void> {
    checkIndexBatch(batch);
    const { texts, memberships, channels } = batch;
    for (const text of texts) keepNewer(this.texts, text.messageId, text);
    for (const row of memberships) {
      keepNewer(this.stays, `${row.userId} ${row.channelId} ${row.joinedSequence}`, row);
    }
    for (const row of channels) keepNewer(this.channels, row.channelId, row);
  }

  async find(query: IndexQuery): Promise<IndexHit[]> {
    const { byRank, after, limit } = query;
    const hits: IndexHit[] = [];
    for (const text of this.texts.values()) {
      const ranges = findPhrases(text.text, query.phrases ?? []);
      if (query.phrases?.length && ranges.length === 0) continue;
      if (!this.fits(text, query)) continue;
      const { channelId, messageId } = text;
      hits.push({ channelId, messageId, rank: byRank ? ranges.length : 0 });
    }
    return hits
      .sort(compare)
      .filter((hit) => !after || compare(hit, after) > 0)
      .slice(0, limit);
  }

  private fits(text: IndexedText, query: IndexQuery): boolean {
    const { channelId, channelSequence, sequence, senderId, mentionedUserIds } = text;
    if (text.text === "") return false;
    if (query.channelId && channelId !== query.channelId) return false;
    if (query.senderId && senderId !== query.senderId) return false;
    if (query.mentionedUserId && !mentionedUserIds.includes(query.mentionedUserId)) return false;
    return [...this.stays.values()].some((stay) => {
      if (stay.channelId !== channelId || stay.userId !== query.userId) return false;
      if (stay.leftSequence !== 0) {
        return channelSequence >= stay.joinedSequence && sequence <= stay.leftSequence;
      }
      const seesAll = this.channels.get(channelId)?.historyBeforeJoining ?? false;
      return seesAll || channelSequence >= stay.joinedSequence;
    });
  }
}

function keepNewer<K, T extends { sequence: number }>(rows: Map<K, T>, key: K, row: T) {
  const known = rows.get(key);
  if (!known || known.sequence < row.sequence) rows.set(key, row);
}

/** The best first, of equals the newer. */
function compare(a: IndexPosition, b: IndexPosition): number {
  return b.rank - a.rank || (a.messageId > b.messageId ? -1 : a.messageId < b.messageId ? 1 : 0);
}
