import type { Message } from "../../gen/parley/message/v1/message_pb.js";
import type { Clock } from "../../mesh/clock.ts";
import type {
  AccessRow,
  ChannelRow,
  DeviceCursorRow,
  MembershipRow,
  MessageRange,
  MessageStore,
  StoreBatch,
} from "./message-store.ts";
import { checkBatch, checkLimit, reached, withinIds } from "./message-store-limits.ts";
import {
  decodeAccess,
  decodeChannel,
  decodeCursor,
  decodeMessage,
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
  rowKey,
  rowSequence,
  Table,
} from "./message-store-rows.ts";

/** A durable map from binary keys to binary values, ordered by key: what an embedded store needs. */
export interface OrderedMap {
  get(key: Buffer): Buffer | undefined;
  /** The pairs from `start`, inclusive, to `end`, exclusive; or the same from the end down. */
  range(start: Buffer, end: Buffer, reverse: boolean): Iterable<OrderedPair>;
  /** Only within a transaction. */
  put(key: Buffer, value: Buffer): void;
  /** Only within a transaction. */
  remove(key: Buffer): void;
  /** Runs the action, whose reads see its own writes; resolves when these are durable, together. */
  transaction(action: () => void): Promise<void>;
  close(): Promise<void>;
}

/** A key and its value. */
export interface OrderedPair {
  key: Buffer;
  value: Buffer;
}

const sendKeptMs = 30 * 24 * 3_600_000;

/** The message store over an ordered map: all of its rules, none of the map's. */
export class OrderedMessageStore implements MessageStore {
  private readonly map: OrderedMap;
  private readonly clock: Clock;

  constructor(map: OrderedMap, clock: Clock) {
    this.map = map;
    this.clock = clock;
  }

  apply(batch: StoreBatch): Promise<void> {
    return reached(async () => {
      checkBatch(batch);
      const nowMs = this.clock.nowMs();
      // Encoded before the transaction, which keeps others out.
      const sends = batch.messages.map((message) => sendPair(message, nowMs + sendKeptMs));
      const versioned = [
        ...batch.messages.map(messagePair),
        ...(batch.access ?? []).map(accessPair),
        ...batch.channels.map(channelPair),
      ];
      await this.map.transaction(() => {
        for (const { key, value } of sends) this.map.put(key, value);
        for (const pair of versioned) this.putNewer(pair);
        for (const row of batch.memberships) this.putStay(row);
        if (sends.length > 0) this.sweepSends(2 * sends.length, nowMs);
      });
    });
  }

  listMessages(range: MessageRange): Promise<Message[]> {
    return reached(() => {
      checkLimit(range.limit);
      const { channelId, minMessageId, maxMessageId } = withinIds(range);
      if (maxMessageId < minMessageId) return [];
      const start = rowKey(Table.MESSAGES, channelId, minMessageId);
      const end = rowKey(Table.MESSAGES, channelId, maxMessageId + 1n);
      const messages: Message[] = [];
      for (const { value } of this.map.range(start, end, range.newestFirst)) {
        if (messages.push(decodeMessage(value)) === range.limit) break;
      }
      return messages;
    });
  }

  findSend(
    channelId: string,
    senderId: string,
    clientMessageId: string,
  ): Promise<Message | undefined> {
    return reached(() => {
      const found = this.map.get(rowKey(Table.SENDS, channelId, senderId, clientMessageId));
      if (!found) return undefined;
      const { messageId, expireTimeMs } = decodeSend(found);
      if (expireTimeMs <= this.clock.nowMs()) return undefined;
      const message = this.map.get(rowKey(Table.MESSAGES, channelId, messageId));
      return message && decodeMessage(message);
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
      if (decodeSend(value).expireTimeMs <= nowMs) expired.push(key);
    }
    for (const key of expired) this.map.remove(key);
    this.map.put(place, next);
  }
}

const nothing = Buffer.alloc(1);

function messagePair(message: Message): OrderedPair {
  const { channelId, messageId } = message;
  return { key: rowKey(Table.MESSAGES, channelId, messageId), value: encodeMessage(message) };
}

function sendPair(message: Message, expireTimeMs: number): OrderedPair {
  const { channelId, messageId, senderId, clientMessageId } = message;
  const key = rowKey(Table.SENDS, channelId, senderId, clientMessageId);
  return { key, value: encodeSend({ messageId, expireTimeMs }) };
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
