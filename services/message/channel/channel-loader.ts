/**
 * Loads a channel: from the log alone where it knows the channel (last entry → its snapshot →
 * what follows), else from the store.
 */
import { create } from "@bufbuild/protobuf";
import { ChannelSnapshotSchema, type LogEntry } from "../../../gen/parley/log/v1/log_pb.js";
import {
  type Channel,
  DeliveryMode,
  type Member,
  MemberRole,
} from "../../../gen/parley/message/v1/message_pb.js";
import type { Stream, StreamEntry } from "../../../mesh/streams.ts";
import { logSubject } from "../../../mesh/streams.ts";
import type { MessageStore } from "../store/message-store.ts";
import { itemsOf } from "./channel-item.ts";
import { ChannelState } from "./channel-state.ts";
import { memberOfRow } from "./live-members.ts";
import { decode, entriesOf } from "./log-entries.ts";
import { RecentSends } from "./recent-sends.ts";
import { RevisionTargets } from "./revision-targets.ts";

/** A channel with everything that its next entry needs. */
export interface LoadedChannel {
  /** Undefined: the channel does not exist. */
  state: ChannelState | undefined;
  recent: RecentSends;
  /** The messages that were answered or revised lately. */
  targets: RevisionTargets;
  /** The log sequence of its last entry; 0: the log holds none. */
  lastLogSequence: number;
  /** The log sequence of the entry with its latest snapshot; 0: the next entry needs one. */
  snapshotLogSequence: number;
  /** What the log has held since that snapshot. */
  sinceSnapshot: { entries: number; bytes: number; timeMs: number };
  /** See LogEntry.max_client_time_ms. */
  maxClientTimeMs: number;
}

/** The log lacks what an entry of it names: not an answer, a fault. */
export class LogIncomplete extends Error {
  override readonly name = "LogIncomplete";
}

/** Members to a page, when they are read from the store. */
const membersPage = 1_000;

/**
 * Reads the channel as of now.
 * @throws StreamUnavailable, StoreUnavailable, LogIncomplete
 */
export async function loadChannel(
  channelId: string,
  log: Stream,
  store: MessageStore,
): Promise<LoadedChannel> {
  const last = await log.last(logSubject(channelId), { fromLeader: true });
  if (!last) return (await loadFromStore(channelId, store)).loaded;
  const fromLog = emptyChannel();
  const snapshotAt = Number(decode(last).snapshotLogSequence) || last.sequence;
  for await (const stored of entriesOf(channelId, log, snapshotAt)) applyStored(fromLog, stored);
  if (fromLog.state) return fromLog;
  // The snapshot was trimmed before what follows it, after both had got into the store.
  const { loaded, logSequence } = await loadFromStore(channelId, store);
  if (!loaded.state) throw new LogIncomplete(`${channelId}: no snapshot at ${snapshotAt}`);
  loaded.lastLogSequence = logSequence;
  for await (const stored of entriesOf(channelId, log, logSequence + 1)) {
    applyStored(loaded, stored);
  }
  return loaded;
}

/**
 * Applies what the log has got since. False: the entry that it would continue has been trimmed,
 * others after it may have been too, so that the channel must be loaded anew.
 * @throws StreamUnavailable, OutOfSequence
 */
export async function refreshChannel(
  loaded: LoadedChannel,
  channelId: string,
  log: Stream,
): Promise<boolean> {
  const { lastLogSequence } = loaded;
  let continues = false;
  for await (const stored of entriesOf(channelId, log, lastLogSequence)) {
    continues ||= stored.sequence === lastLogSequence;
    if (!continues) return false;
    if (stored.sequence > lastLogSequence) applyStored(loaded, stored);
  }
  return continues;
}

/** A channel of which nothing is known. */
function emptyChannel(): LoadedChannel {
  return {
    state: undefined,
    recent: new RecentSends(0),
    targets: new RevisionTargets(),
    lastLogSequence: 0,
    snapshotLogSequence: 0,
    sinceSnapshot: { entries: 0, bytes: 0, timeMs: 0 },
    maxClientTimeMs: 0,
  };
}

/** Moves on by an entry. Where nothing is known yet, all before a snapshot is passed over. */
function applyStored(loaded: LoadedChannel, stored: StreamEntry): void {
  const entry = decode(stored);
  if (!loaded.state) {
    if (!entry.snapshot) return;
    const isFirst = entry.snapshot.channel?.lastChannelSequence === 0;
    loaded.state = new ChannelState(entry.snapshot);
    loaded.recent = new RecentSends(isFirst ? 0 : Number(entry.maxClientTimeMs));
  }
  loaded.state.applyEntry(entry);
  for (const item of itemsOf(entry)) {
    loaded.recent.add(item);
    if (item.case === "revision") loaded.targets.apply(item.value);
  }
  noteAppended(loaded, entry, stored.sequence, stored.data.length);
}

/** Moves the log's side of a loaded channel on by an entry that is stored. */
export function noteAppended(
  loaded: LoadedChannel,
  entry: LogEntry,
  sequence: number,
  bytes: number,
): void {
  const { sinceSnapshot } = loaded;
  if (entry.snapshot) {
    loaded.snapshotLogSequence = sequence;
    sinceSnapshot.entries = 0;
    sinceSnapshot.bytes = 0;
    sinceSnapshot.timeMs = Number(entry.snapshotTimeMs);
  }
  sinceSnapshot.entries++;
  sinceSnapshot.bytes += bytes;
  loaded.lastLogSequence = sequence;
  loaded.maxClientTimeMs = Number(entry.maxClientTimeMs);
}

/** The channel as the store has it, and the position of the log's entry that it was made from. */
async function loadFromStore(
  channelId: string,
  store: MessageStore,
): Promise<{ loaded: LoadedChannel; logSequence: number }> {
  const loaded = emptyChannel();
  const row = await store.getChannel(channelId);
  if (!row) return { loaded, logSequence: 0 };
  const members = await presentMembers(row.channel, store);
  const access = await store.getAccess(channelId);
  const snapshot = create(ChannelSnapshotSchema, {
    channel: row.channel,
    ...(access && { access: access.access }),
    members,
  });
  loaded.state = new ChannelState(snapshot, access?.sequence);
  loaded.recent = new RecentSends(row.maxClientTimeMs);
  loaded.maxClientTimeMs = row.maxClientTimeMs;
  return { loaded, logSequence: row.logSequence };
}

/**
 * Those that a channel's state begins with. Owner and admins of a LIVE channel are looked for
 * among all its members: it happens only where nothing was said for as long as the log keeps.
 */
async function presentMembers(
  { channelId, mode }: Channel,
  store: MessageStore,
): Promise<Member[]> {
  const roleMin = mode === DeliveryMode.LIVE ? MemberRole.ADMIN : MemberRole.MEMBER;
  const members: Member[] = [];
  for (let after: string | undefined = ""; after !== undefined; ) {
    const rows = await store.listMembers(channelId, after, membersPage);
    members.push(...rows.filter(({ role }) => role >= roleMin).map(memberOfRow));
    after = rows.length === membersPage ? rows.at(-1)!.userId : undefined;
  }
  return members;
}
