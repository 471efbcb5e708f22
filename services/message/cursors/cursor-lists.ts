/** Lists of members' cursors. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Channel, DeliveryMode } from "../../../gen/parley/message/v1/message_pb.js";
import type {
  ListChangedCursorsRequest,
  ListCursorsRequest,
} from "../../../gen/parley/message/v1/message_service_pb.js";
import type { ChannelState } from "../channel/channel-state.ts";
import type { Channels } from "../channel/channels.ts";
import { readIdToken, writeIdToken } from "../page-tokens.ts";
import { pageSize } from "../request-fields.ts";
import type { MemberCursorRow, MessageStore } from "../store/message-store.ts";
import { pageMax } from "../store/message-store-limits.ts";
import { cursorOf } from "./cursors.ts";

/** Cursors of one channel in a page of what has moved: as many as a COPY channel has members. */
const changedMax = 100;
/** Rows of one channel, of former members too, that are looked at for it. */
const scanMax = 10 * pageMax;

/** Reads ListCursors' page. @throws DomainError NOT_A_MEMBER, FIELD_INVALID; StoreUnavailable */
export async function listCursors(
  request: ListCursorsRequest,
  userId: string,
  { channels, store }: { channels: Channels; store: MessageStore },
) {
  const { channelId } = request;
  const size = pageSize(request.pageSize, 100, pageMax);
  const after = readIdToken(request.pageToken);
  const look = (state: ChannelState) => ({
    mode: state.channel.mode,
    members: new Set(state.members.keys()),
  });
  const { mode, members } = await channels.readAsMember(channelId, userId, look, "LIST_CURSORS");
  if (mode !== DeliveryMode.COPY) {
    const own = await store.getMemberCursors(userId, [channelId]);
    return { cursors: own.map(cursorOf), nextPageToken: "" };
  }
  const rows = await store.listMemberCursors(channelId, after, size);
  const cursors = rows.filter((row) => members.has(row.userId)).map(cursorOf);
  return { cursors, nextPageToken: rows.length === size ? writeIdToken(rows.at(-1)!.userId) : "" };
}

/** Reads ListChangedCursors' page. @throws DomainError FIELD_INVALID; StoreUnavailable */
export async function listChangedCursors(
  request: ListChangedCursorsRequest,
  userId: string,
  store: MessageStore,
) {
  const size = pageSize(request.pageSize, 20, 50);
  const after = readIdToken(request.pageToken);
  const minTimeMs = request.minTime ? timestampMs(request.minTime) : 0;
  const ids = await store.listChannelIds(userId, after, size + 1);
  const pageIds = ids.slice(0, size);
  const lists = await Promise.all(pageIds.map((channelId) => changedIn(channelId)));
  const channels = pageIds
    .map((channelId, i) => ({ channelId, cursors: lists[i]!.map(cursorOf) }))
    .filter(({ cursors }) => cursors.length > 0);
  return { channels, nextPageToken: ids.length > size ? writeIdToken(pageIds.at(-1)!) : "" };

  async function changedIn(channelId: string): Promise<MemberCursorRow[]> {
    const channel = (await store.getChannel(channelId))?.channel;
    if (channel?.deleteTime) return [];
    const changed = (await rowsOf(channelId, channel)).filter((row) => row.moveTimeMs >= minTimeMs);
    if (changed.length <= changedMax) return changed;
    return changed.sort((a, b) => b.moveTimeMs - a.moveTimeMs).slice(0, changedMax);
  }

  /** A channel that is not stored yet is as good as a LIVE one: only one's own. */
  async function rowsOf(channelId: string, channel: Channel | undefined) {
    if (channel?.mode !== DeliveryMode.COPY) return store.getMemberCursors(userId, [channelId]);
    const all: MemberCursorRow[] = [];
    for (let more = true; more && all.length < scanMax; ) {
      const rows = await store.listMemberCursors(channelId, all.at(-1)?.userId ?? "", pageMax);
      all.push(...rows);
      more = rows.length === pageMax;
    }
    return all;
  }
}
