import type { MembershipRow } from "./message-store.ts";
import {
  checkIndexBatch,
  type IndexBatch,
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
  private readonly channels = new Map<string, IndexBatch["channels"][number]>();

  async apply(batch: IndexBatch): Promise<void> {
    checkIndexBatch(batch);
    const { texts, memberships, channels } = batch;
    for (const text of texts) {
      const known = this.texts.get(text.messageId);
      const newer = known && known.textSequence > text.textSequence ? known : text;
      const channelSequence = Math.max(known?.channelSequence ?? 0, text.channelSequence);
      this.texts.set(text.messageId, { ...newer, channelSequence });
    }
    for (const row of memberships) {
      keepNewer(this.stays, `${row.userId} ${row.channelId} ${row.joinedSequence}`, row);
    }
    for (const row of channels) keepNewer(this.channels, row.channel.channelId, row);
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
    const { channelId, channelSequence, textSequence, senderId, mentionedUserIds } = text;
    if (text.text === "" || channelSequence === 0) return false;
    if (query.channelId && channelId !== query.channelId) return false;
    if (query.senderId && senderId !== query.senderId) return false;
    if (query.mentionedUserId && !mentionedUserIds.includes(query.mentionedUserId)) return false;
    return [...this.stays.values()].some((stay) => {
      if (stay.channelId !== channelId || stay.userId !== query.userId) return false;
      if (stay.leftSequence !== 0) {
        return channelSequence >= stay.joinedSequence && textSequence <= stay.leftSequence;
      }
      const seesAll = this.channels.get(channelId)?.channel.historyBeforeJoining ?? false;
      return seesAll || channelSequence >= stay.joinedSequence;
    });
  }
}

function keepNewer<T extends { sequence: number }>(rows: Map<string, T>, key: string, row: T) {
  const known = rows.get(key);
  if (!known || known.sequence < row.sequence) rows.set(key, row);
}

/** The best first, of equals the newer. */
function compare(a: IndexPosition, b: IndexPosition): number {
  return b.rank - a.rank || (a.messageId > b.messageId ? -1 : a.messageId < b.messageId ? 1 : 0);
}
