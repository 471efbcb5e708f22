import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { ChannelAccessSchema } from "../../../gen/parley/log/v1/log_pb.js";
import { ChannelSchema } from "../../../gen/parley/message/v1/message_pb.js";
import {
  type Cassandra,
  type CassandraOptions,
  type CassandraRow,
  openCassandra,
} from "../../../mesh/cassandra.ts";
import type { Write } from "../../../mesh/cassandra-batches.ts";
import type { Clock } from "../../../mesh/clock.ts";
import type { Placement } from "../channel/placement.ts";
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
import { moveCursor, readVisit } from "./message-store-cassandra-cursors.ts";
import { HistoryPartitions } from "./message-store-cassandra-history.ts";
import {
  cursorOf,
  cursorWrites,
  selectCursor,
  selectCursors,
} from "./message-store-cassandra-member-cursors.ts";
import { listRevisionRows, revisionRowWrites } from "./message-store-cassandra-revisions.ts";
import { messageSchema } from "./message-store-cassandra-schema.ts";
import { findPlacement } from "./message-store-cassandra-sends.ts";
import { checkBatch, checkLimit, checkRows, reached } from "./message-store-limits.ts";

/** Rows to a query of a list, of which some may have ended. */
const chunkMin = 100;

/**
 * Opens the message store in a keyspace of Cassandra: for any number of processes. A write
 * resolves when it is on most of its replicas. Where the cluster can't be reached it opens all the
 * same and calls reject until it can.
 * @throws SchemaMismatch, ConfigError
 */
export async function openCassandraMessageStore(
  options: Omit<CassandraOptions, "schema">,
): Promise<MessageStore> {
  const connection = await openCassandra({ ...options, schema: messageSchema });
  return new CassandraMessageStore(connection, options.clock);
}

class CassandraMessageStore implements MessageStore {
  private readonly connection: Cassandra;
  private readonly clock: Clock;
  private readonly history: HistoryPartitions;

  constructor(connection: Cassandra, clock: Clock) {
    this.connection = connection;
    this.clock = clock;
    this.history = new HistoryPartitions(connection);
  }

  apply(batch: StoreBatch): Promise<void> {
    return reached(async () => {
      checkBatch(batch);
      const { messages = [], revisions = [], channels = [], memberships = [] } = batch;
      const { access = [], cursors = [] } = batch;
      await this.history.write(messages, [
        ...revisions.flatMap(revisionRowWrites),
        ...memberships.flatMap(stayWrites),
      ]);
      await this.history.revise(revisions);
      await this.connection.write(access.map(accessWrite));
      // Last, as a channel's row says that the rest is there; its cursors travel with it.
      await this.connection.write([
        ...cursors.flatMap(cursorWrites),
        ...channels.map(channelWrite),
      ]);
    });
  }

  listMessages(range: MessageRange): Promise<StoredMessage[]> {
    return reached(() => {
      checkLimit(range.limit);
      return this.history.list(range);
    });
  }

  listRevisions(range: RevisionRange): Promise<RevisionRow[]> {
    return reached(() => {
      checkLimit(range.limit);
      return listRevisionRows(this.connection, range);
    });
  }

  findSend(
    channelId: string,
    senderId: string,
    clientMessageId: string,
  ): Promise<Placement | undefined> {
    return reached(() => findPlacement(this.connection, channelId, senderId, clientMessageId));
  }

  getChannel(channelId: string): Promise<ChannelRow | undefined> {
    return reached(async () => {
      const [row] = await this.connection.read({ cql: selectChannel, values: [channelId] });
      return row && channelOf(row);
    });
  }

  getAccess(channelId: string): Promise<AccessRow | undefined> {
    return reached(async () => {
      const [row] = await this.connection.read({ cql: selectAccess, values: [channelId] });
      if (!row) return undefined;
      const access = fromBinary(ChannelAccessSchema, row.access as Buffer);
      return { channelId, access, sequence: Number(row.sequence) };
    });
  }

  listMembers(channelId: string, afterUserId: string, limit: number): Promise<MembershipRow[]> {
    return reached(async () => {
      checkLimit(limit);
      const members: MembershipRow[] = [];
      const rows = limit + chunkMin;
      let after: (string | bigint)[] = [afterUserId, joinedMax];
      while (true) {
        const values = [channelId, ...after, rows];
        const chunk = await this.connection.read({ cql: selectMembers, values });
        for (const row of chunk) {
          const member = stayOf(channelId, row);
          if (member.leftSequence !== 0) continue;
          // Rows come late: the end of an earlier stay may not be here yet.
          if (members.at(-1)?.userId === member.userId) members.pop();
          else if (members.length === limit) return members;
          members.push(member);
        }
        const last = chunk.at(-1);
        if (!last || chunk.length < rows) return members;
        after = [last.user_id as string, last.joined_sequence as bigint];
      }
    });
  }

  listStays(channelId: string, userId: string): Promise<MembershipRow[]> {
    return reached(async () => {
      const stays = await this.connection.read({ cql: selectStays, values: [channelId, userId] });
      return stays.map((row) => stayOf(channelId, row));
    });
  }

  listChannelIds(userId: string, afterChannelId: string, limit: number): Promise<string[]> {
    return reached(async () => {
      checkLimit(limit);
      const channelIds: string[] = [];
      const rows = limit + chunkMin;
      let after: (string | bigint)[] = [afterChannelId, joinedMax];
      while (true) {
        const values = [userId, ...after, rows];
        const chunk = await this.connection.read({ cql: selectChannelIds, values });
        for (const row of chunk) {
          const channelId = row.channel_id as string;
          if (row.left_sequence !== 0n || channelIds.at(-1) === channelId) continue;
          if (channelIds.push(channelId) === limit) return channelIds;
        }
        const last = chunk.at(-1);
        if (!last || chunk.length < rows) return channelIds;
        after = [last.channel_id as string, last.joined_sequence as bigint];
      }
    });
  }

  listAllChannels(afterChannelId: string, limit: number): Promise<ChannelRow[]> {
    return reached(async () => {
      checkLimit(limit);
      const query =
        afterChannelId === ""
          ? { cql: selectFirstChannels, values: [limit] }
          : { cql: selectNextChannels, values: [afterChannelId, limit] };
      return (await this.connection.read(query)).map(channelOf);
    });
  }

  findMessages({ channel }: ChannelRow): Promise<void> {
    return reached(() => this.history.find(channel));
  }

  getDeviceCursor(userId: string, deviceId: string): Promise<DeviceCursorRow | undefined> {
    return reached(async () => (await readVisit(this.connection, userId, deviceId))?.cursor);
  }

  putDeviceCursor(row: DeviceCursorRow): Promise<void> {
    return reached(() => moveCursor(this.connection, row, this.clock));
  }

  getMemberCursors(userId: string, channelIds: readonly string[]): Promise<MemberCursorRow[]> {
    return reached(async () => {
      checkRows("channel_ids", channelIds.length);
      const queries = channelIds.map((channelId) => selectCursor(channelId, userId));
      const found = await this.connection.readAll(queries);
      return found.flatMap(([row], i) => (row ? cursorOf(channelIds[i]!, row) : []));
    });
  }

  listMemberCursors(
    channelId: string,
    afterUserId: string,
    limit: number,
  ): Promise<MemberCursorRow[]> {
    return reached(async () => {
      checkLimit(limit);
      const rows = await this.connection.read(selectCursors(channelId, afterUserId, limit));
      return rows.map((row) => cursorOf(channelId, row));
    });
  }

  putMemberCursors(rows: readonly MemberCursorRow[]): Promise<void> {
    return reached(() => {
      checkRows("cursors", rows.length);
      return this.connection.write(rows.flatMap(cursorWrites));
    });
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}

/** Above every sequence of a channel: after the user's last stay. */
const joinedMax = 2n ** 62n;

const insertChannel = `INSERT INTO channels
  (channel_id, channel, sequence, log_sequence, max_client_time_ms) VALUES (?, ?, ?, ?, ?)
  USING TIMESTAMP ?`;
const insertAccess = `INSERT INTO access_by_channel (channel_id, access, sequence)
  VALUES (?, ?, ?) USING TIMESTAMP ?`;
const insertMember = `INSERT INTO members_by_channel
  (channel_id, user_id, joined_sequence, left_sequence, role, join_time_ms, sequence)
  VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?`;
const insertChannelOfUser = `INSERT INTO channels_by_user
  (user_id, channel_id, joined_sequence, left_sequence) VALUES (?, ?, ?, ?) USING TIMESTAMP ?`;

const selectFirstChannels = `SELECT channel, sequence, log_sequence, max_client_time_ms
  FROM channels LIMIT ?`;
const selectNextChannels = `SELECT channel, sequence, log_sequence, max_client_time_ms
  FROM channels WHERE token(channel_id) > token(?) LIMIT ?`;
const selectChannel = `SELECT channel, sequence, log_sequence, max_client_time_ms FROM channels
  WHERE channel_id = ?`;
const selectAccess = `SELECT access, sequence FROM access_by_channel WHERE channel_id = ?`;
const stay = "user_id, joined_sequence, left_sequence, role, join_time_ms, sequence";
const selectMembers = `SELECT ${stay} FROM members_by_channel
  WHERE channel_id = ? AND (user_id, joined_sequence) > (?, ?) LIMIT ?`;
const selectStays = `SELECT ${stay} FROM members_by_channel WHERE channel_id = ? AND user_id = ?`;
const selectChannelIds = `SELECT channel_id, joined_sequence, left_sequence FROM channels_by_user
  WHERE user_id = ? AND (channel_id, joined_sequence) > (?, ?) LIMIT ?`;

function channelWrite({ channel, sequence, logSequence, maxClientTimeMs }: ChannelRow): Write {
  const { channelId } = channel;
  const numbers = [BigInt(sequence), BigInt(logSequence), BigInt(maxClientTimeMs)];
  const bytes = Buffer.from(toBinary(ChannelSchema, channel));
  return {
    cql: insertChannel,
    values: [channelId, bytes, ...numbers, BigInt(sequence)],
    partition: `channel ${channelId}`,
  };
}

function accessWrite({ channelId, access, sequence }: AccessRow): Write {
  const bytes = Buffer.from(toBinary(ChannelAccessSchema, access));
  return {
    cql: insertAccess,
    values: [channelId, bytes, BigInt(sequence), BigInt(sequence)],
    partition: `channel ${channelId}`,
  };
}

function stayWrites(row: MembershipRow): Write[] {
  const { channelId, userId, role } = row;
  const [joined, left, joinTimeMs, sequence] = [
    BigInt(row.joinedSequence),
    BigInt(row.leftSequence),
    BigInt(row.joinTimeMs),
    BigInt(row.sequence),
  ];
  return [
    {
      cql: insertMember,
      values: [channelId, userId, joined, left, role, joinTimeMs, sequence, sequence],
      partition: `channel ${channelId}`,
    },
    {
      cql: insertChannelOfUser,
      values: [userId, channelId, joined, left, sequence],
      partition: `user ${userId}`,
    },
  ];
}

function channelOf(row: CassandraRow): ChannelRow {
  return {
    channel: fromBinary(ChannelSchema, row.channel as Buffer),
    sequence: Number(row.sequence),
    logSequence: Number(row.log_sequence),
    maxClientTimeMs: Number(row.max_client_time_ms),
  };
}

function stayOf(channelId: string, row: CassandraRow): MembershipRow {
  return {
    channelId,
    userId: row.user_id as string,
    joinedSequence: Number(row.joined_sequence),
    leftSequence: Number(row.left_sequence),
    role: row.role as number,
    joinTimeMs: Number(row.join_time_ms),
    sequence: Number(row.sequence),
  };
}
