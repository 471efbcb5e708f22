import type { Clock } from "../../../mesh/clock.ts";
import { RecentMap } from "../../../mesh/recent-map.ts";
import type { MessageStore } from "../store/message-store.ts";

/** Channels of a user that are counted. */
const channelsMax = 200;
/** Channels whose number of texts is remembered: 10 MB. */
const rememberedMax = 50_000;
/** How old such a number may be. */
const ageMaxMs = 30_000;

/**
 * Users' unread texts. Two reads for a user, and one for each of its channels whose number of texts
 * is not at hand: those that are being talked in are, as the log tells of them.
 */
export class UnreadCounts {
  private readonly store: Pick<MessageStore, "getChannel" | "getMemberCursors" | "listChannelIds">;
  private readonly clock: Clock;
  private readonly texts = new RecentMap<string, { count: number; atMs: number }>(rememberedMax);

  constructor(store: UnreadCounts["store"], clock: Clock) {
    this.store = store;
    this.clock = clock;
  }

  /** The log says how many texts a channel has. */
  note(channelId: string, count: number): void {
    const known = this.texts.get(channelId)?.count ?? 0;
    this.texts.set(channelId, { count: Math.max(known, count), atMs: this.clock.monotonicMs() });
  }

  /** See PushSource.unreadCount. @throws StoreUnavailable */
  async of(userId: string): Promise<number> {
    const channelIds = await this.store.listChannelIds(userId, "", channelsMax);
    if (channelIds.length === 0) return 0;
    const rows = await this.store.getMemberCursors(userId, channelIds);
    const read = new Map(rows.map((row) => [row.channelId, row.readMessageNumber]));
    const counts = await Promise.all(channelIds.map((channelId) => this.textsIn(channelId)));
    return channelIds.reduce((sum, channelId, i) => {
      return sum + Math.max(0, counts[i]! - (read.get(channelId) ?? 0));
    }, 0);
  }

  private async textsIn(channelId: string): Promise<number> {
    const known = this.texts.get(channelId);
    if (known && this.clock.monotonicMs() < known.atMs + ageMaxMs) return known.count;
    const channel = (await this.store.getChannel(channelId))?.channel;
    if (channel?.deleteTime) return 0;
    const count = channel?.messageCount ?? 0;
    this.note(channelId, count);
    return count;
  }
}
