/**
 * The key-value store behind Message: history for ever, channels, memberships, cursors.
 * This comment is the specification; `message-store.contract.ts` checks it for every adapter.
 *
 * Everything here but the cursors is a projection of the log. Writes are idempotent and
 * may come again, late and in any order: of two rows of one key the one with the greater
 * `sequence` stays, whatever arrives last. A write that fails may have been made in part; it is
 * made again. A read sees every write that has resolved.
 */
import type { ChannelAccess } from "../../../gen/parley/log/v1/log_pb.js";
import type {
  Channel,
  MemberRole,
  Message,
  Revision,
} from "../../../gen/parley/message/v1/message_pb.js";
import type { Placement } from "../channel/placement.ts";

/** A channel as of its item number `sequence`, the channel_sequence. */
export interface ChannelRow {
  channel: Channel;
  sequence: number;
  /** The log position of the entry that this row was made from. */
  logSequence: number;
  /** See LogEntry.max_client_time_ms. */
  maxClientTimeMs: number;
}

/** Who is kept out of a channel and who gets in by a link, as of item number `sequence`. */
export interface AccessRow {
  channelId: string;
  access: ChannelAccess;
  sequence: number;
}

/**
 * A stay of a user in a channel: an interval of channel_sequences. Its key is
 * (channelId, userId, joinedSequence); a user who comes back has a second row.
 */
export interface MembershipRow {
  channelId: string;
  userId: string;
  /** The channel_sequence of the item that made the user a member. */
  joinedSequence: number;
  /** The channel_sequence of the item that ended it; 0: still a member. */
  leftSequence: number;
  role: MemberRole;
  joinTimeMs: number;
  /** The channel_sequence of the item that this state of the row comes from. */
  sequence: number;
}

/**
 * How far a member has come in a channel. Its key is (channelId, userId). The two positions move
 * only forward, each by itself: of two rows the greater ids stay, whatever arrives last.
 */
export interface MemberCursorRow {
  channelId: string;
  userId: string;
  /** 0: none of its own; whatever was read was delivered. */
  deliveredMessageId: bigint;
  /** 0: none. */
  readMessageId: bigint;
  /** The message_number at `readMessageId`, with which it moves. */
  readMessageNumber: number;
  /** When one of them moved last, in ms since 1970. */
  moveTimeMs: number;
}

/** What became of one user's reaction with one emoji. Its key is (message, userId, emoji). */
export interface ReactionRow {
  userId: string;
  emoji: string;
  /** The channel_sequence of the item that this state of the row comes from. */
  sequence: number;
  /** False: it was taken back. */
  given: boolean;
}

/** A message as it is now. */
export interface StoredMessage {
  /** With its newest edit, or its deletion; `revision_sequence` is of that, no reaction counts. */
  message: Message;
  /** All that there ever were, in any order. */
  reactions: ReactionRow[];
}

/** That a message was revised. */
export interface RevisionRow {
  /** The channel_sequence of the revision. */
  channelSequence: number;
  messageId: bigint;
}

/** What one batch of the log comes to; a kind that is left out has no rows. */
export interface StoreBatch {
  /** Each is stored under (channel_id, message_id), and found by its client id for 30 days. */
  messages?: readonly Message[];
  /**
   * Each changes its message, whether that is stored before or after it: of edits and deletion the
   * newest stays, of reactions the newest of a key. Texts that were replaced are not kept. Each is
   * found by its client id for 30 days, and by its sequence for ever.
   */
  revisions?: readonly Revision[];
  channels?: readonly ChannelRow[];
  memberships?: readonly MembershipRow[];
  access?: readonly AccessRow[];
  /** Cursors that messages moved by themselves; see MessageStore.putMemberCursors. */
  cursors?: readonly MemberCursorRow[];
}

/** A range of one channel's revisions, in the order of their sequences. */
export interface RevisionRange {
  channelId: string;
  /** Inclusive. */
  minSequence: number;
  /** Inclusive: no greater than needed, as the cost grows with the distance of the two. */
  maxSequence: number;
  /** 1 to 1,000. */
  limit: number;
}

/** A range of one channel's messages. */
export interface MessageRange {
  channelId: string;
  /** Inclusive; default: the first. */
  minMessageId?: bigint;
  /** Inclusive; default: the last. */
  maxMessageId?: bigint;
  /** True: from the greatest id down. */
  newestFirst: boolean;
  /** 1 to 1,000. */
  limit: number;
}

/** What a device has stored. */
export interface DeviceCursorRow {
  userId: string;
  deviceId: string;
  inboxEpoch: string;
  inboxSequence: number;
  curMaxMessageId: bigint;
}

/** The store. Every method rejects with {@link StoreUnavailable} when it can't be reached. */
export interface MessageStore {
  /**
   * Stores a batch, durably. At most 1,024 rows of a kind. A channel's row is stored after all
   * others of the batch: who finds it finds all that it rests on.
   */
  apply(batch: StoreBatch): Promise<void>;

  /** Reads messages in the order of their ids, any depth at the same cost. */
  listMessages(range: MessageRange): Promise<StoredMessage[]>;

  /** Which messages were revised. */
  listRevisions(range: RevisionRange): Promise<RevisionRow[]>;

  /**
   * What the sender stored under the client id in the last 30 days. Its key is (channelId,
   * senderId, clientMessageId), and as of any row's: of two items the later in the channel.
   */
  findSend(
    channelId: string,
    senderId: string,
    clientMessageId: string,
  ): Promise<Placement | undefined>;

  /** The channel as last stored. */
  getChannel(channelId: string): Promise<ChannelRow | undefined>;

  /** Who is kept out of a channel, and who gets in by a link; undefined: nobody ever was. */
  getAccess(channelId: string): Promise<AccessRow | undefined>;

  /** The present members (rows that have not ended) after `afterUserId`, ordered by user id. */
  listMembers(channelId: string, afterUserId: string, limit: number): Promise<MembershipRow[]>;

  /** All stays of a user in a channel, ordered by joinedSequence. */
  listStays(channelId: string, userId: string): Promise<MembershipRow[]>;

  /** The ids of the channels that the user is in now, after `afterChannelId`, ordered. */
  listChannelIds(userId: string, afterChannelId: string, limit: number): Promise<string[]>;

  /** All channels, after one of them ("": from the first), in an order of the store's own. */
  listAllChannels(afterChannelId: string, limit: number): Promise<ChannelRow[]>;

  /**
   * Finds where a channel's messages lie, and writes that anew where the store keeps it apart from
   * them: for repairs, as it looks at every place that is possible.
   */
  findMessages(channel: ChannelRow): Promise<void>;

  /** Where the device's cursor stands. */
  getDeviceCursor(userId: string, deviceId: string): Promise<DeviceCursorRow | undefined>;

  /**
   * Moves a device's cursor: within one epoch only forward, each of its two numbers by itself;
   * to another epoch always.
   */
  putDeviceCursor(row: DeviceCursorRow): Promise<void>;

  /** The cursors of one user in at most 1,024 channels, in any order; who has none is left out. */
  getMemberCursors(userId: string, channelIds: readonly string[]): Promise<MemberCursorRow[]>;

  /** The cursors in a channel after `afterUserId`, ordered by user id; of former members too. */
  listMemberCursors(
    channelId: string,
    afterUserId: string,
    limit: number,
  ): Promise<MemberCursorRow[]>;

  /** Moves members' cursors, durably: only forward. At most 1,024 rows. */
  putMemberCursors(rows: readonly MemberCursorRow[]): Promise<void>;

  /** Closes; what has resolved is durable. */
  close(): Promise<void>;
}

/** The store can't be reached. */
export class StoreUnavailable extends Error {
  override readonly name = "StoreUnavailable";
}
