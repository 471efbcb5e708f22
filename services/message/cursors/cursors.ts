/**
 * Members' cursors: who may move and see them, and who is told. In COPY channels they are every
 * member's to see; in LIVE channels each is its owner's alone, and delivered ones are not kept.
 */
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ChannelDelivered } from "../../../gen/parley/message/v1/cursor_pb.js";
import { type Channel, DeliveryMode } from "../../../gen/parley/message/v1/message_pb.js";
import type { Clock } from "../../../mesh/clock.ts";
import { ConcurrencyLimit } from "../../../mesh/concurrency-limit.ts";
import { unavailable } from "../../../mesh/errors.ts";
import { maxId, minId } from "../../../mesh/ids.ts";
import type { Streams } from "../../../mesh/streams.ts";
import type { ChannelState } from "../channel/channel-state.ts";
import type { RecentSends } from "../channel/recent-sends.ts";
import { type HistoryDependencies, openHistory } from "../history/history-source.ts";
import { type MemberCursorRow, StoreUnavailable } from "../store/message-store.ts";
import { type CursorMove, CursorMoves } from "./cursor-moves.ts";
import { tell } from "./member-events.ts";

/** What cursors work with. */
export interface CursorsOptions extends HistoryDependencies {
  streams: Pick<Streams, "publishInbox">;
  clock: Clock;
}

/** Channels that are read at once because of what devices say of them, and that wait for it. */
const readsAtOnceMax = 64;
const readsWaitingMax = 4_096;

/** How far somebody has read. */
interface ReadPosition {
  messageId: bigint;
  /** The message_number there. */
  messageNumber: number;
}

/** The cursors of all channels, as far as this instance is asked. */
export class Cursors {
  private readonly options: CursorsOptions;
  private readonly moves: CursorMoves;
  private readonly reads = new ConcurrencyLimit({
    atOnceMax: readsAtOnceMax,
    waitingMax: readsWaitingMax,
  });

  constructor(options: CursorsOptions) {
    this.options = options;
    const announce = (channelId: string, rows: readonly MemberCursorRow[]) =>
      this.announce(channelId, rows);
    this.moves = new CursorMoves({ ...options, announce });
  }

  /**
   * Moves a read cursor to the newest message whose id is at most this one.
   * @throws DomainError NOT_A_MEMBER, UNAVAILABLE, OVERLOADED; StoreUnavailable, StreamUnavailable
   */
  async markRead(userId: string, channelId: string, messageId: bigint): Promise<void> {
    const { channels } = this.options;
    const look = ({ channel }: ChannelState) => ({
      messageId: channel.lastMessageId,
      messageNumber: channel.messageCount,
    });
    const last = await channels.readAsMember(channelId, userId, look, "MARK_READ");
    const read =
      messageId >= last.messageId ? last : await this.positionAt(channelId, userId, messageId);
    if (!read) return;
    await this.moves.move({
      ...{ channelId, userId, deliveredMessageId: 0n },
      ...{ readMessageId: read.messageId, readMessageNumber: read.messageNumber },
    });
  }

  /**
   * Moves a delivered cursor in a COPY channel; what is said of others is passed over.
   * @throws DomainError UNAVAILABLE, OVERLOADED; StoreUnavailable
   */
  async markDelivered(userId: string, delivered: ChannelDelivered): Promise<void> {
    const { channelId, messageId } = delivered;
    const { channels } = this.options;
    const move: CursorMove = {
      ...{ channelId, userId, deliveredMessageId: messageId },
      ...{ readMessageId: 0n, readMessageNumber: 0 },
    };
    if (this.moves.isThere(move)) return;
    // Mostly the message was sent through this instance, which then knows the channel as it is.
    let state = channels.warm(channelId);
    if (state?.isLive) return;
    if (!state?.members.has(userId) || state.channel.lastMessageId < messageId) {
      ({ state } = await this.reads.run(() => channels.read(channelId)));
    }
    if (!state?.members.has(userId) || state.channel.mode !== DeliveryMode.COPY) return;
    if (state.channel.deleteTime) return;
    move.deliveredMessageId = minId(messageId, state.channel.lastMessageId);
    await this.moves.move(move);
  }

  /**
   * How far a user has read a channel; undefined while the store is away. `known` is what the log
   * says besides.
   */
  async readState(userId: string, channel: Channel, known: ReadPosition) {
    try {
      const { channelId } = channel;
      const [row] = await this.options.store.getMemberCursors(userId, [channelId]);
      return readStateOf(userId, channel, row, known);
    } catch (err) {
      if (!(err instanceof StoreUnavailable)) throw err;
      return undefined;
    }
  }

  /** The same of channels as the store has them, in their order. @throws StoreUnavailable */
  async readStates(userId: string, channels: readonly Channel[]) {
    const channelIds = channels.map(({ channelId }) => channelId);
    const rows = await this.options.store.getMemberCursors(userId, channelIds);
    const byChannel = new Map(rows.map((row) => [row.channelId, row]));
    const nothing = { messageId: 0n, messageNumber: 0 };
    return channels.map((channel) =>
      readStateOf(userId, channel, byChannel.get(channel.channelId), nothing),
    );
  }

  /** The newest message whose id is at most this one; undefined: there is none. */
  private async positionAt(
    channelId: string,
    userId: string,
    id: bigint,
  ): Promise<ReadPosition | undefined> {
    const source = await openHistory(channelId, userId, this.options);
    const [message] = await source.read(1n, id, true, 1);
    const from = message?.messageId ?? 0n;
    const isUnsure = source.missing().some(({ minMessageId, maxMessageId }) => {
      return minMessageId <= id && maxMessageId > from;
    });
    if (isUnsure) throw unavailable(`${channelId} can't be read now`);
    return message;
  }

  private announce(channelId: string, rows: readonly MemberCursorRow[]): void {
    const { channels, streams } = this.options;
    const state = channels.warm(channelId);
    // Forgotten within the moment since: nobody uses it, and whoever looks asks.
    if (!state || state.channel.deleteTime) return;
    if (state.channel.mode === DeliveryMode.COPY) {
      const cursors = rows.filter(({ userId }) => state.members.has(userId)).map(cursorOf);
      const value = { channelId, cursors };
      tell(state.members.keys(), { case: "cursorsMoved", value }, streams);
      return;
    }
    for (const row of rows) {
      const value = { channelId, cursors: [cursorOf(row)] };
      tell([row.userId], { case: "cursorsMoved", value }, streams);
    }
  }
}

/** What the log itself says that a member has read: up to its joining, and to its last send. */
export function readByLog(state: ChannelState, recent: RecentSends, userId: string): ReadPosition {
  const joined = state.members.get(userId)?.joinedMessageNumber ?? 0;
  const sent = recent.lastOf(userId);
  return {
    messageId: sent?.messageId ?? 0n,
    messageNumber: Math.max(joined, sent?.messageNumber ?? 0),
  };
}

/** A cursor as callers see it: whatever was read was delivered. */
export function cursorOf(row: MemberCursorRow) {
  const { userId, readMessageId, readMessageNumber, moveTimeMs } = row;
  const deliveredMessageId = maxId(row.deliveredMessageId, readMessageId);
  const moveTime = timestampFromMs(moveTimeMs);
  return { userId, deliveredMessageId, readMessageId, readMessageNumber, moveTime };
}

function readStateOf(
  userId: string,
  { channelId, messageCount }: Channel,
  row: MemberCursorRow | undefined,
  known: ReadPosition,
) {
  const readMessageId = maxId(row?.readMessageId ?? 0n, known.messageId);
  const readMessageNumber = Math.max(row?.readMessageNumber ?? 0, known.messageNumber);
  const nothing = { channelId, userId, deliveredMessageId: 0n, moveTimeMs: 0 };
  const cursor = cursorOf({ ...(row ?? nothing), readMessageId, readMessageNumber });
  return { channelId, cursor, unreadCount: Math.max(0, messageCount - readMessageNumber) };
}
