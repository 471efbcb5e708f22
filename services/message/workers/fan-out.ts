/**
 * The worker that copies the entries of COPY channels into their members' inboxes, and tells of
 * those of LIVE channels once, to whoever follows them. Members are those at that point of the
 * log, exactly. What one batch has for an inbox becomes one entry of it. A batch that is done
 * again may repeat entries; readers skip what they have by `channel_sequence`.
 */
import { clone, create, toBinary } from "@bufbuild/protobuf";
import {
  InboxEntrySchema,
  type Item,
  ItemSchema,
  type LogEntry,
} from "../../../gen/parley/log/v1/log_pb.js";
import type { Revision } from "../../../gen/parley/message/v1/message_pb.js";
import type { Clock } from "../../../mesh/clock.ts";
import { Outage } from "../../../mesh/outage.ts";
import {
  inboxSubject,
  type PublishedEntry,
  type Running,
  type Stream,
  type StreamEntry,
} from "../../../mesh/streams.ts";
import { type ChannelItem, itemsOf } from "../channel/channel-item.ts";
import type { ChannelState } from "../channel/channel-state.ts";
import { ChannelStates } from "../channel/channel-states.ts";
import { stayChanges } from "../channel/stay-changes.ts";
import {
  type MemberCursorRow,
  type MembershipRow,
  type MessageStore,
  StoreUnavailable,
} from "../store/message-store.ts";
import { rowsMax } from "../store/message-store-limits.ts";
import { Parking, type ParkingDependencies } from "./parking.ts";
import { applyWithRows, cursorsMovedBy } from "./projection.ts";

/** The name of its checkpoint: entries up to it are in the inboxes. */
export const fanOutWorker = "fan-out";

/** Log entries to a batch: 25,600 copies at most. */
const batchMax = 256;
/** Inbox appends under way at once, and about their bytes: streams refuse what would wait beyond theirs. */
const appendsMax = 2_048;
const appendBytesMax = 8 << 20;
/** An inbox entry of several items: an inbox of 5,000 has at most 320 MB. One item may exceed it. */
const inboxEntryBytesMax = 64 * 1024;
/** A text longer than this, in UTF-16 units of up to 3 bytes, is left out of the inboxes. */
const inlineTextMax = 16 * 1024;

/** What fan-out works on. */
export interface FanOutDependencies extends ParkingDependencies {
  inbox: Stream;
  /** Tells those who follow a LIVE channel of an entry; see Streams.publishLog. */
  publishLog(channelId: string, entry: PublishedEntry): void;
  store: MessageStore;
  clock: Clock;
}

/** Starts the worker. */
export function startFanOut(deps: FanOutDependencies): Running {
  const { clock, logger } = deps;
  const announcing = new Outage({
    ...{ logger, clock, level: "warn" },
    ...{ began: "memberships_not_announced", ended: "memberships_announced_again" },
  });
  const states = new ChannelStates(deps.log);
  const parking = new Parking(fanOutWorker, deps);
  const [began, ended] = ["fan_out_failed", "fan_out_works_again"];
  const outage = new Outage({ logger, clock, level: "error", began, ended });
  return deps.log.work(
    {
      name: fanOutWorker,
      batchMax,
      isOurs: deps.isOurs,
      onError: (err) => outage.failed(err),
    },
    async (entries) => {
      await fanOut(entries, states, parking, announcing, deps);
      outage.worked();
    },
  );
}

async function fanOut(
  entries: StreamEntry[],
  states: ChannelStates,
  parking: Parking,
  announcing: Outage,
  deps: FanOutDependencies,
) {
  const inboxes = new Map<string, Uint8Array[]>();
  const memberships: MembershipRow[] = [];
  const cursors: MemberCursorRow[] = [];
  const published: (PublishedEntry & { channelId: string })[] = [];
  for (const stored of entries) {
    const read = await parking.read(stored, states);
    if (!read) continue;
    const { entry, state } = read;
    cursors.push(...joinersCursors(entry));
    for (const { userIds, items } of groupByRecipients(entry, state, memberships)) {
      const encoded = encode(items);
      for (const userId of userIds) {
        const parts = inboxes.get(userId);
        if (parts) parts.push(...encoded);
        else inboxes.set(userId, [...encoded]);
      }
    }
    if (state.isLive) {
      const { channelId, prevLogSequence } = entry;
      const { data, sequence } = stored;
      published.push({ channelId, data, sequence, prevSequence: Number(prevLogSequence) });
    }
  }
  await announceMemberships(memberships, cursors, announcing, deps.store);
  for (const { channelId, ...entry } of published) deps.publishLog(channelId, entry);
  const first = entries[0]!;
  const range = `${deps.log.epoch(first.subject)}/${first.sequence}-${entries.at(-1)!.sequence}`;
  await appendAll(inboxes, range, deps.inbox);
}

interface Group {
  userIds: Iterable<string>;
  items: Item[];
}

/** Splits an entry where its recipients change, and moves the state on. */
function groupByRecipients(
  entry: LogEntry,
  state: ChannelState,
  memberships: MembershipRow[],
): Group[] {
  const groups: Group[] = [];
  let everybody: Group | undefined;
  for (const item of itemsOf(entry)) {
    const { isLive } = state;
    memberships.push(...applyWithRows(state, item));
    if (isLive) {
      const userIds = concerned(item);
      if (userIds.length > 0) groups.push({ userIds, items: [create(ItemSchema, { item })] });
      continue;
    }
    if (item.case === "message" && item.value.body.case === "membershipChange") {
      // Who was removed is told so; who was added is a member by now.
      const ended = stayChanges(item.value).ended.map(({ userId }) => userId);
      const userIds = [...state.members.keys(), ...ended];
      groups.push({ userIds, items: [create(ItemSchema, { item })] });
      everybody = undefined;
      continue;
    }
    const hidden = item.case === "revision" ? membersWithout(item.value, state) : [];
    if (hidden.length > 0) {
      const others = [...state.members.keys()].filter((userId) => !hidden.includes(userId));
      groups.push({ userIds: others, items: [inlined(item)] });
      groups.push({ userIds: hidden, items: [withoutBody(item)] });
      everybody = undefined;
      continue;
    }
    if (!everybody) {
      everybody = { userIds: [...state.members.keys()], items: [] };
      groups.push(everybody);
    }
    everybody.items.push(inlined(item));
  }
  return groups;
}

/** Who gets an item of a LIVE channel into the inbox: those whose own membership it changes. */
function concerned(item: ChannelItem): string[] {
  if (item.case !== "message") return [];
  const { begun, ended, changed } = stayChanges(item.value);
  return [...begun, ...ended, ...changed].map(({ userId }) => userId);
}

/** The members who may not see the message that is revised: they came after it. */
function membersWithout(revision: Revision, { channel, members }: ChannelState): string[] {
  if (channel.historyBeforeJoining) return [];
  return [...members.values()]
    .filter(({ joinedSequence }) => joinedSequence > revision.messageChannelSequence)
    .map(({ userId }) => userId);
}

function inlined(item: ChannelItem): Item {
  return textUnits(item) <= inlineTextMax ? create(ItemSchema, { item }) : withoutBody(item);
}

function textUnits({ case: kind, value }: ChannelItem): number {
  if (kind === "message") return value.body.case === "text" ? value.body.value.length : 0;
  return value.change.case === "edit" ? value.change.value.text.length : 0;
}

/** What tells of an item but not what it says: who may reads it in the history. */
function withoutBody(item: ChannelItem): Item {
  const copy = clone(ItemSchema, create(ItemSchema, { item }));
  if (copy.item.case === "message") {
    copy.item.value.body = { case: undefined };
    copy.item.value.bodyOmitted = true;
  } else if (copy.item.case === "revision") {
    copy.item.value.change = { case: undefined };
  }
  return copy;
}

/** Of those who join: that nothing is unread. Of senders persist alone writes them. */
function joinersCursors({ items }: LogEntry): MemberCursorRow[] {
  return items.flatMap(({ item }) =>
    item.case === "message" && item.value.body.case === "membershipChange"
      ? cursorsMovedBy(item.value)
      : [],
  );
}

/**
 * Writes what a join changes before the inbox entry that announces it, so that who hears of a
 * channel finds it. Where the store is away chat goes on: persist writes the same rows later.
 */
async function announceMemberships(
  memberships: MembershipRow[],
  cursors: MemberCursorRow[],
  announcing: Outage,
  store: MessageStore,
) {
  const rows = Math.max(memberships.length, cursors.length);
  if (rows === 0) return;
  try {
    for (let from = 0; from < rows; from += rowsMax) {
      const to = from + rowsMax;
      await store.apply({
        memberships: memberships.slice(from, to),
        cursors: cursors.slice(from, to),
      });
    }
    announcing.worked();
  } catch (thrown) {
    if (!(thrown instanceof StoreUnavailable)) throw thrown;
    announcing.failed(thrown);
  }
}

async function appendAll(inboxes: Map<string, Uint8Array[]>, range: string, inbox: Stream) {
  let underWay: Promise<number>[] = [];
  let bytes = 0;
  for (const [userId, parts] of inboxes) {
    for (const [i, entry] of merge(parts).entries()) {
      const dedupeId = `${range}/${i}/${userId}`;
      underWay.push(inbox.append(inboxSubject(userId), entry, { dedupeId }));
      bytes += entry.length;
      if (underWay.length < appendsMax && bytes < appendBytesMax) continue;
      await Promise.all(underWay);
      underWay = [];
      bytes = 0;
    }
  }
  await Promise.all(underWay);
}

/** Items as one entry; as several where that would exceed what one may have. */
function encode(items: Item[]): Uint8Array[] {
  const bytes = toBinary(InboxEntrySchema, create(InboxEntrySchema, { items }));
  if (bytes.length <= inboxEntryBytesMax || items.length === 1) return [bytes];
  const half = items.length >> 1;
  return [...encode(items.slice(0, half)), ...encode(items.slice(half))];
}

/** Joins encoded entries: repeated fields that follow each other are one list. */
function merge(parts: Uint8Array[]): Uint8Array[] {
  if (parts.length === 1) return parts;
  const merged: Uint8Array[] = [];
  let pending: Uint8Array[] = [];
  let bytes = 0;
  for (const part of parts) {
    if (pending.length > 0 && bytes + part.length > inboxEntryBytesMax) {
      merged.push(Buffer.concat(pending));
      pending = [];
      bytes = 0;
    }
    pending.push(part);
    bytes += part.length;
  }
  merged.push(Buffer.concat(pending));
  return merged;
}
