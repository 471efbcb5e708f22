import { create } from "@bufbuild/protobuf";
import {
  type Message,
  MessageSchema,
  type Revision,
} from "../../../gen/parley/message/v1/message_pb.js";
import type { Clock } from "../../../mesh/clock.ts";
import { maxId, minId } from "../../../mesh/ids.ts";
import type { ChannelItem } from "../channel/channel-item.ts";
import { type Placement, placementOf } from "../channel/placement.ts";
import { bodyOf, revisedBody, revisedReaction, withBody } from "./message-revisions.ts";
import type {
  AccessRow,
  ChannelRow,
  DeviceCursorRow,
  MemberCursorRow,
  MembershipRow,
  MessageRange,
  MessageStore,
  RevisionRange,
  RevisionRow,
  StoreBatch,
  StoredMessage,
} from "./message-store.ts";
import { checkBatch, checkLimit, checkRows, reached, withinIds } from "./message-store-limits.ts";
import { OrderedMemberCursors } from "./message-store-ordered-cursors.ts";
import type { OrderedMap } from "./message-store-ordered-map.ts";
import {
  decodeAccess,
  decodeChannel,
  decodeCursor,
  decodeMessage,
  decodeReaction,
  decodeSend,
  decodeStay,
  encodeAccess,
  encodeChannel,
  encodeCursor,
  encodeMessage,
  encodeSend,
  encodeStay,
  keyAfter,
  keyString,
  type OrderedPair,
  reactionPair,
  rowKey,
  rowSequence,
  sendExpireTimeMs,
  Table,
} from "./message-store-rows.ts";

const sendKeptMs = 30 * 24 * 3_600_000;

/** The message store over an ordered map: all of its rules, none of the map's. */
export class OrderedMessageStore implements MessageStore {
  private readonly map: OrderedMap;
  private readonly clock: Clock;
  private readonly cursors: OrderedMemberCursors;

  constructor(map: OrderedMap, clock: Clock) {
    this.map = map;
    this.clock = clock;
    this.cursors = new OrderedMemberCursors(map);
  }

  apply(batch: StoreBatch): Promise<void> {
    return reached(async () => {
      checkBatch(batch);
      const { messages = [], revisions = [], channels = [], memberships = [], access = [] } = batch;
      const nowMs = this.clock.nowMs();
      // Encoded before the transaction, which keeps others out.
      const items: ChannelItem[] = [
        ...messages.map((value) => ({ case: "message" as const, value })),
        ...revisions.map((value) => ({ case: "revision" as const, value })),
      ];
      const sends = items.map((item) => sendPair(item, nowMs + sendKeptMs));
      const messagePairs = messages.map(messagePair);
      const versioned = [...sends, ...access.map(accessPair), ...channels.map(channelPair)];
      await this.map.transaction(() => {
        for (const [i, message] of messages.entries()) this.putMessage(message, messagePairs[i]!);
        for (const revision of revisions) this.putRevision(revision);
        for (const pair of versioned) this.putNewer(pair);
        for (const row of memberships) this.putStay(row);
        for (const row of batch.cursors ?? []) this.cursors.move(row);
        if (sends.length > 0) this.sweepSends(2 * sends.length, nowMs);
      });
    });
  }

  listMessages(range: MessageRange): Promise<StoredMessage[]> {
    return reached(() => {
      checkLimit(range.limit);
      const { channelId, minMessageId, maxMessageId } = withinIds(range);
      if (maxMessageId < minMessageId) return [];
      const start = rowKey(Table.MESSAGES, channelId, minMessageId);
      const end = rowKey(Table.MESSAGES, channelId, maxMessageId + 1n);
      const stored: StoredMessage[] = [];
      for (const { value } of this.map.range(start, end, range.newestFirst)) {
        const message = decodeMessage(value);
        if (isRevisionAlone(message)) continue;
        if (stored.push({ message, reactions: [] }) === range.limit) break;
      }
      this.addReactions(channelId, stored);
      return stored;
    });
  }

  listRevisions(range: RevisionRange): Promise<RevisionRow[]> {
    return reached(() => {
      checkLimit(range.limit);
      const { channelId, minSequence, maxSequence, limit } = range;
      const rows: RevisionRow[] = [];
      if (maxSequence < minSequence) return rows;
      const start = rowKey(Table.REVISIONS, channelId, minSequence);
      const end = keyAfter(rowKey(Table.REVISIONS, channelId));
      for (const { key, value } of this.map.range(start, end, false)) {
        const channelSequence = key.readUInt32BE(key.length - 4);
        if (channelSequence > maxSequence) break;
        if (rows.push({ channelSequence, messageId: value.readBigUInt64BE() }) === limit) break;
      }
      return rows;
    });
  }

  findSend(
    channelId: string,
    senderId: string,
    clientMessageId: string,
  ): Promise<Placement | undefined> {
    return reached(() => {
      const found = this.map.get(rowKey(Table.SENDS, channelId, senderId, clientMessageId));
      if (!found) return undefined;
      const { placement, expireTimeMs } = decodeSend(found);
      return expireTimeMs <= this.clock.nowMs() ? undefined : placement;
    });
  }

  getChannel(channelId: string): Promise<ChannelRow | undefined> {
    return reached(() => {
      const value = this.map.get(rowKey(Table.CHANNELS, channelId));
      return value && decodeChannel(value);
    });
  }

  getAccess(channelId: string): Promise<AccessRow | undefined> {
    return reached(() => {
      const value = this.map.get(rowKey(Table.ACCESS, channelId));
      return value && decodeAccess(channelId, value);
    });
  }

  listMembers(channelId: string, afterUserId: string, limit: number): Promise<MembershipRow[]> {
    return reached(() => {
      checkLimit(limit);
      const start = keyAfter(rowKey(Table.MEMBERS, channelId, afterUserId));
      const end = keyAfter(rowKey(Table.MEMBERS, channelId));
      const members: MembershipRow[] = [];
      for (const { key, value } of this.map.range(start, end, false)) {
        const member = decodeStay(key, value);
        // Rows come late: the end of an earlier stay may not be here yet.
        if (members.at(-1)?.userId === member.userId) members.pop();
        else if (members.length === limit) break;
        members.push(member);
      }
      return members;
    });
  }

  listStays(channelId: string, userId: string): Promise<MembershipRow[]> {
    return reached(() => {
      const start = rowKey(Table.STAYS, channelId, userId);
      return Array.from(this.map.range(start, keyAfter(start), false), ({ key, value }) =>
        decodeStay(key, value),
      );
    });
  }

  listChannelIds(userId: string, afterChannelId: string, limit: number): Promise<string[]> {
    return reached(() => {
      checkLimit(limit);
      const start = keyAfter(rowKey(Table.MEMBERSHIPS, userId, afterChannelId));
      const end = keyAfter(rowKey(Table.MEMBERSHIPS, userId));
      const channelIds: string[] = [];
      for (const { key } of this.map.range(start, end, false)) {
        const channelId = keyString(key, userId.length + 2);
        if (channelIds.at(-1) === channelId) continue;
        if (channelIds.push(channelId) === limit) break;
      }
      return channelIds;
    });
  }

  listAllChannels(afterChannelId: string, limit: number): Promise<ChannelRow[]> {
    return reached(() => {
      checkLimit(limit);
      const first = rowKey(Table.CHANNELS);
      const start =
        afterChannelId === "" ? first : keyAfter(rowKey(Table.CHANNELS, afterChannelId));
      const rows: ChannelRow[] = [];
      for (const { value } of this.map.range(start, keyAfter(first), false)) {
        if (rows.push(decodeChannel(value)) === limit) break;
      }
      return rows;
    });
  }

  /** Their keys say where they are. */
  async findMessages(): Promise<void> {}

  getDeviceCursor(userId: string, deviceId: string): Promise<DeviceCursorRow | undefined> {
    return reached(() => this.cursor(userId, deviceId));
  }

  putDeviceCursor(row: DeviceCursorRow): Promise<void> {
    return reached(() =>
      this.map.transaction(() => {
        const stored = this.cursor(row.userId, row.deviceId);
        const moved = stored?.inboxEpoch === row.inboxEpoch ? furthest(stored, row) : row;
        this.map.put(rowKey(Table.CURSORS, row.userId, row.deviceId), encodeCursor(moved));
      }),
    );
  }

  getMemberCursors(userId: string, channelIds: readonly string[]): Promise<MemberCursorRow[]> {
    return reached(() => {
      checkRows("channel_ids", channelIds.length);
      return channelIds.flatMap((channelId) => this.cursors.get(channelId, userId) ?? []);
    });
  }

  listMemberCursors(
    channelId: string,
    afterUserId: string,
    limit: number,
  ): Promise<MemberCursorRow[]> {
    return reached(() => {
      checkLimit(limit);
      return this.cursors.list(channelId, afterUserId, limit);
    });
  }

  putMemberCursors(rows: readonly MemberCursorRow[]): Promise<void> {
    return reached(() => {
      checkRows("cursors", rows.length);
      return this.map.transaction(() => {
        for (const row of rows) this.cursors.move(row);
      });
    });
  }

  close(): Promise<void> {
    return this.map.close();
  }

  private cursor(userId: string, deviceId: string): DeviceCursorRow | undefined {
    const value = this.map.get(rowKey(Table.CURSORS, userId, deviceId));
    return value && decodeCursor(userId, deviceId, value);
  }

  /** Puts a row unless a newer one is there; whether it did. */
  private putNewer({ key, value }: OrderedPair): boolean {
    const stored = this.map.get(key);
    if (stored && rowSequence(stored) > rowSequence(value)) return false;
    this.map.put(key, value);
    return true;
  }

  /** Puts a message, with the body that a revision gave it if one came before it. */
  private putMessage(message: Message, { key, value }: OrderedPair): void {
    const stored = this.map.get(key);
    if (!stored || rowSequence(stored) <= rowSequence(value)) {
      this.map.put(key, value);
      return;
    }
    const newer = decodeMessage(stored);
    if (isRevisionAlone(newer)) this.map.put(key, encodeMessage(withBody(message, bodyOf(newer))));
  }

  private putRevision(revision: Revision): void {
    const { channelId, messageId, channelSequence } = revision;
    const place = Buffer.alloc(8);
    place.writeBigUInt64BE(messageId);
    this.map.put(rowKey(Table.REVISIONS, channelId, channelSequence), place);
    const reaction = revisedReaction(revision);
    if (reaction) this.putNewer(reactionPair(channelId, messageId, reaction));
    const body = revisedBody(revision);
    if (!body) return;
    const key = rowKey(Table.MESSAGES, channelId, messageId);
    const stored = this.map.get(key);
    if (stored && rowSequence(stored) > channelSequence) return;
    const message = stored ? decodeMessage(stored) : create(MessageSchema, { messageId });
    this.map.put(key, encodeMessage(withBody(message, body)));
  }

  /** Adds the reactions to messages that are sorted by id, up or down. */
  private addReactions(channelId: string, sorted: readonly StoredMessage[]): void {
    const [first, last] = [sorted[0], sorted.at(-1)];
    if (!first || !last) return;
    const byId = new Map(sorted.map((stored) => [stored.message.messageId, stored]));
    const [a, b] = [first.message.messageId, last.message.messageId];
    const start = rowKey(Table.REACTIONS, channelId, minId(a, b));
    const end = rowKey(Table.REACTIONS, channelId, maxId(a, b) + 1n);
    for (const pair of this.map.range(start, end, false)) {
      const [messageId, row] = decodeReaction(pair);
      byId.get(messageId)?.reactions.push(row);
    }
  }

  private putStay(row: MembershipRow): void {
    const { channelId, userId, joinedSequence } = row;
    const value = encodeStay(row);
    const key = rowKey(Table.STAYS, channelId, userId, joinedSequence);
    if (!this.putNewer({ key, value })) return;
    const member = rowKey(Table.MEMBERS, channelId, userId, joinedSequence);
    const membership = rowKey(Table.MEMBERSHIPS, userId, channelId, joinedSequence);
    if (row.leftSequence === 0) {
      this.map.put(member, value);
      this.map.put(membership, nothing);
    } else {
      this.map.remove(member);
      this.map.remove(membership);
    }
  }

  /**
   * Removes expired client ids among the next `rows` of their table, going round and round. Two
   * looked at for each one written keep the table below twice what has not expired.
   */
  private sweepSends(rows: number, nowMs: number): void {
    const place = rowKey(Table.SWEEP);
    const first = rowKey(Table.SENDS);
    const expired: Buffer[] = [];
    let looked = 0;
    let next = first;
    const start = this.map.get(place) ?? first;
    for (const { key, value } of this.map.range(start, keyAfter(first), false)) {
      if (looked++ === rows) {
        next = key;
        break;
      }
      if (sendExpireTimeMs(value) <= nowMs) expired.push(key);
    }
    for (const key of expired) this.map.remove(key);
    this.map.put(place, next);
  }
}

const nothing = Buffer.alloc(1);

/** Whether this is what a revision left that came before its message. */
function isRevisionAlone({ channelSequence }: Message): boolean {
  return channelSequence === 0;
}

function messagePair(message: Message): OrderedPair {
  const { channelId, messageId } = message;
  return { key: rowKey(Table.MESSAGES, channelId, messageId), value: encodeMessage(message) };
}

function sendPair(item: ChannelItem, expireTimeMs: number): OrderedPair {
  const { channelId, senderId, clientMessageId } = item.value;
  const key = rowKey(Table.SENDS, channelId, senderId, clientMessageId);
  return { key, value: encodeSend({ placement: placementOf(item), expireTimeMs }) };
}

function accessPair(row: AccessRow): OrderedPair {
  return { key: rowKey(Table.ACCESS, row.channelId), value: encodeAccess(row) };
}

function channelPair(row: ChannelRow): OrderedPair {
  return { key: rowKey(Table.CHANNELS, row.channel.channelId), value: encodeChannel(row) };
}

function furthest(a: DeviceCursorRow, b: DeviceCursorRow): DeviceCursorRow {
  return {
    ...b,
    inboxSequence: Math.max(a.inboxSequence, b.inboxSequence),
    curMaxMessageId: (a.curMaxMessageId > b.curMaxMessageId ? a : b).curMaxMessageId,
  };
}
