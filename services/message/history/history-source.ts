/**
 * One channel as one reader may see it: the store's messages, and above them what the log holds
 * beyond the store. It shows the channel as it was when opened. Where one of the two is away, the
 * other serves alone, and what may be missing is named.
 */
import type {
  Channel,
  DeliveryMode,
  Message,
  Revision,
} from "../../../gen/parley/message/v1/message_pb.js";
import { DomainError, unavailable } from "../../../mesh/errors.ts";
import { messageIdMax, minId } from "../../../mesh/ids.ts";
import { Outage, type OutageOptions } from "../../../mesh/outage.ts";
import { logSubject, type Stream, StreamUnavailable } from "../../../mesh/streams.ts";
import type { ChannelItem } from "../channel/channel-item.ts";
import type { Channels } from "../channel/channels.ts";
import type { CutLogTail, LogTail } from "../channel/log-tail.ts";
import { channelDeleted, notAMember } from "../message-codes.ts";
import { givenReactions, revised, shownTo } from "../store/message-revisions.ts";
import {
  type MessageStore,
  type ReactionRow,
  type RevisionRow,
  type StoredMessage,
  StoreUnavailable,
} from "../store/message-store.ts";
import { persistWorker } from "../workers/persist.ts";
import type { HistoryReads } from "./history-reads.ts";
import { Visibility } from "./visibility.ts";

/** What reading needs. */
export interface HistoryDependencies {
  channels: Channels;
  log: Stream;
  store: MessageStore;
  reads: HistoryReads;
  /** Told whether pages are read without the log. */
  logOutage: Outage;
  /** Told whether they are read without the store. */
  storeOutage: Outage;
}

/** The outages of a process's histories. */
export function historyOutages(
  parts: Pick<OutageOptions, "logger" | "clock">,
): Pick<HistoryDependencies, "logOutage" | "storeOutage"> {
  const outage = (began: string, ended: string) =>
    new Outage({ ...parts, level: "warn", began, ended });
  return {
    logOutage: outage("history_without_log", "history_with_log"),
    storeOutage: outage("history_degraded", "history_whole"),
  };
}

/** Message ids, both ends inclusive. */
export interface IdRange {
  minMessageId: bigint;
  maxMessageId: bigint;
}

/** What a reader is told of a channel beside its messages. */
export interface OpenedChannel {
  mode: DeliveryMode;
  memberCount: number;
  lastChannelSequence: number;
  /** Whether the reader is a member. */
  isMember: boolean;
}

/** Revisions in the order of their sequences. */
export interface RevisionPage {
  rows: RevisionRow[];
  /** Whether none may be missing. */
  isWhole: boolean;
}

/** A channel that is open for reading. */
export interface HistorySource {
  visibility: Visibility;
  /** The channel as it was when opened. */
  channel: OpenedChannel;
  /** The newest message; later ones are not shown. */
  lastMessageId: bigint;
  /**
   * The messages of a range of ids, both ends inclusive, as the reader sees them now, in the order
   * asked for: `limit` of them, fewer only where there are no more.
   * @throws StreamUnavailable
   */
  read(minId: bigint, maxId: bigint, newestFirst: boolean, limit: number): Promise<Message[]>;
  /** The reactions to a message that the reader may see; undefined: there is no such message. */
  reactions(messageId: bigint): Promise<ReactionRow[] | undefined>;
  /** The first `limit` revisions from a sequence on. @throws StreamUnavailable */
  revisions(minSequence: number, limit: number): Promise<RevisionPage>;
  /** What could not be read, as far as it has been tried. */
  missing(): IdRange[];
}

/**
 * Opens a channel for a reader.
 * @throws DomainError NOT_A_MEMBER, CHANNEL_DELETED, UNAVAILABLE; StreamUnavailable
 */
export async function openHistory(
  channelId: string,
  userId: string,
  deps: HistoryDependencies,
): Promise<HistorySource> {
  try {
    const source = await openOverLog(channelId, userId, deps);
    deps.logOutage.worked();
    return source;
  } catch (err) {
    if (!isLogAway(err)) throw err;
    deps.logOutage.failed(err, { channelId });
    return openStoreAlone(channelId, userId, deps.store);
  }
}

/** Also where the store alone knows the channel, and is away: then it says so once more. */
function isLogAway(error: unknown): boolean {
  if (error instanceof DomainError) return error.reason === "UNAVAILABLE";
  return error instanceof StreamUnavailable;
}

/**
 * The channel as the workers have stored it so far. Whoever may have joined since, and a channel
 * that may have been created since, has to wait for the log.
 */
async function openStoreAlone(
  channelId: string,
  userId: string,
  store: MessageStore,
): Promise<HistorySource> {
  const row = await store.getChannel(channelId);
  const stays = await store.listStays(channelId, userId);
  if (!row || stays.length === 0) throw unavailable(`${channelId} can't be read now`);
  if (row.channel.deleteTime) throw channelDeleted(channelId);
  const { lastMessageId, lastChannelSequence, historyBeforeJoining } = row.channel;
  const joinedSequence = stays.find(({ leftSequence }) => leftSequence === 0)?.joinedSequence;
  const reader = { userId, joinedSequence, seesAll: historyBeforeJoining };
  // Whoever does not see everything may have come to see more of it since.
  const seesEverything = historyBeforeJoining ? joinedSequence !== undefined : joinedSequence === 1;
  const minMissingId = seesEverything ? lastMessageId + 1n : 1n;
  // The row is stored after what it rests on: beyond it something may be missing.
  const read: Read = async (minMessageId, maxId, newestFirst, limit) => {
    const maxMessageId = minId(maxId, lastMessageId);
    if (minMessageId > maxMessageId) return [];
    return store.listMessages({ channelId, minMessageId, maxMessageId, newestFirst, limit });
  };
  return {
    channel: openedChannel(row.channel, joinedSequence !== undefined),
    lastMessageId,
    ...asSeenBy(userId, Visibility.of(reader, stays, [[]]), read),
    async revisions(minSequence, limit) {
      const range = { channelId, minSequence, maxSequence: lastChannelSequence, limit };
      return { rows: await store.listRevisions(range), isWhole: false };
    },
    missing: () => [{ minMessageId: minMissingId, maxMessageId: messageIdMax }],
  };
}

async function openOverLog(
  channelId: string,
  userId: string,
  { channels, log, store, reads, storeOutage }: HistoryDependencies,
): Promise<HistorySource> {
  const { state, snapshotLogSequence } = await channels.read(channelId, userId);
  if (!state) throw notAMember(channelId);
  // Taken at once: the state moves on, also with what is then not stored.
  const { lastMessageId, lastChannelSequence, historyBeforeJoining, deleteTime } = state.channel;
  const joinedSequence = state.members.get(userId)?.joinedSequence;
  const channel = openedChannel(state.channel, joinedSequence !== undefined);

  // In this order: whatever the log does not show any more is in the store by then.
  const persisted = await log.checkpoint(persistWorker, logSubject(channelId));
  let tail = await reads.tail(channelId, persisted, snapshotLogSequence, log);
  let items = new TailItems(tail);
  let storeIsAway = false;
  const stays = (await fromStore(() => store.listStays(channelId, userId))) ?? [];
  const reader = { userId, joinedSequence, seesAll: historyBeforeJoining };
  const visibility = Visibility.of(reader, stays, tail);
  if (visibility.isNothing) {
    throw storeIsAway ? unavailable(`${channelId} can't be read now`) : notAMember(channelId);
  }
  if (deleteTime) throw channelDeleted(channelId);
  return {
    ...{ channel, lastMessageId, revisions, missing },
    ...asSeenBy(userId, visibility, read),
  };

  /** Asks the store; once it has failed, the whole log takes its place. */
  async function fromStore<T>(ask: () => Promise<T>): Promise<T | undefined> {
    if (storeIsAway) return undefined;
    try {
      const answer = await ask();
      storeOutage.worked();
      return answer;
    } catch (err) {
      if (!(err instanceof StoreUnavailable)) throw err;
      storeOutage.failed(err, { channelId });
      storeIsAway = true;
      tail = await reads.tail(channelId, 0, snapshotLogSequence, log);
      items = new TailItems(tail);
      return undefined;
    }
  }

  async function read(min: bigint, maxId: bigint, newestFirst: boolean, limit: number) {
    const maxMessageId = minId(maxId, lastMessageId);
    if (min > maxMessageId) return [];
    const range = { channelId, minMessageId: min, maxMessageId, newestFirst, limit };
    const stored = (await fromStore(() => store.listMessages(range))) ?? [];
    const byId = new Map(stored.map((each) => [each.message.messageId, each]));
    for (const message of items.messages) {
      const { messageId } = message;
      // What the store has already, it may have newer.
      if (messageId < min || messageId > maxMessageId || byId.has(messageId)) continue;
      byId.set(messageId, { message, reactions: [] });
    }
    const merged = [...byId].sort(([a], [b]) => (a < b ? -1 : 1));
    if (newestFirst) merged.reverse();
    return merged.slice(0, limit).map(([id, each]) => revised(each, items.revisionsOf(id)));
  }

  async function revisions(minSequence: number, limit: number): Promise<RevisionPage> {
    const range = { channelId, minSequence, maxSequence: lastChannelSequence, limit };
    const rows = (await fromStore(() => store.listRevisions(range))) ?? [];
    const bySequence = new Map(rows.map((row) => [row.channelSequence, row]));
    for (const { channelSequence, messageId } of items.revisions) {
      if (channelSequence < minSequence || channelSequence > lastChannelSequence) continue;
      bySequence.set(channelSequence, { channelSequence, messageId });
    }
    const merged = [...bySequence.values()].sort((a, b) => a.channelSequence - b.channelSequence);
    const first = tail[0][0]?.value.channelSequence ?? lastChannelSequence + 1;
    const isWhole = tail.length === 1 && (!storeIsAway || first <= minSequence);
    return { rows: merged.slice(0, limit), isWhole };
  }

  function missing(): IdRange[] {
    const ranges: IdRange[] = [];
    const [older, newest] = tail;
    const endId = lastMessageId + 1n;
    if (storeIsAway && older[0]?.value.channelSequence !== 1) {
      const first = messagesOf(older)[0] ?? (newest && messagesOf(newest)[0]);
      ranges.push({ minMessageId: 1n, maxMessageId: (first?.messageId ?? endId) - 1n });
    }
    if (newest) {
      const before = messagesOf(older).at(-1)?.messageId ?? 0n;
      const after = messagesOf(newest)[0]?.messageId ?? endId;
      ranges.push({ minMessageId: before + 1n, maxMessageId: after - 1n });
    }
    return ranges;
  }
}

type Read = (
  min: bigint,
  max: bigint,
  newestFirst: boolean,
  limit: number,
) => Promise<StoredMessage[]>;

/** What a reader gets to see of what is read. */
function asSeenBy(
  userId: string,
  visibility: Visibility,
  readStored: Read,
): Pick<HistorySource, "visibility" | "read" | "reactions"> {
  const maySee = (channelSequence: number) => visibility.includes(channelSequence);
  return {
    visibility,
    async read(...range) {
      return (await readStored(...range)).map((stored) => shownTo(userId, stored, maySee));
    },
    async reactions(messageId) {
      const [stored] = await readStored(messageId, messageId, false, 1);
      if (!stored || !maySee(stored.message.channelSequence)) return undefined;
      if (stored.message.deleteTime) return [];
      return givenReactions(stored.reactions.filter(({ sequence }) => maySee(sequence)));
    },
  };
}

/** What the end of a log holds. */
class TailItems {
  readonly messages: Message[] = [];
  readonly revisions: Revision[] = [];
  private readonly byMessage = new Map<bigint, Revision[]>();

  constructor(tail: LogTail | CutLogTail) {
    for (const item of tail.flat()) {
      if (item.case === "message") this.messages.push(item.value);
      else this.addRevision(item.value);
    }
  }

  /** The revisions of a message, in order. */
  revisionsOf(messageId: bigint): readonly Revision[] {
    return this.byMessage.get(messageId) ?? [];
  }

  private addRevision(revision: Revision): void {
    this.revisions.push(revision);
    const others = this.byMessage.get(revision.messageId);
    if (others) others.push(revision);
    else this.byMessage.set(revision.messageId, [revision]);
  }
}

function messagesOf(items: readonly ChannelItem[]): Message[] {
  return items.flatMap((item) => (item.case === "message" ? item.value : []));
}

function openedChannel(channel: Channel, isMember: boolean): OpenedChannel {
  const { mode, memberCount, lastChannelSequence } = channel;
  return { mode, memberCount, lastChannelSequence, isMember };
}
