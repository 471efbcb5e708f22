/** The worker that carries the log into the store. */
import { clone } from "@bufbuild/protobuf";
import {
  ChannelSchema,
  type Message,
  type Revision,
} from "../../../gen/parley/message/v1/message_pb.js";
import { type Clock, sleep } from "../../../mesh/clock.ts";
import { Outage } from "../../../mesh/outage.ts";
import type { Running, StreamEntry } from "../../../mesh/streams.ts";
import { itemsOf } from "../channel/channel-item.ts";
import { ChannelStates } from "../channel/channel-states.ts";
import type {
  AccessRow,
  ChannelRow,
  MemberCursorRow,
  MembershipRow,
  MessageStore,
} from "../store/message-store.ts";
import { rowsMax } from "../store/message-store-limits.ts";
import { Parking, type ParkingDependencies } from "./parking.ts";
import { applyWithRows, cursorsMovedBy } from "./projection.ts";

/** The name of its checkpoint: entries up to it are in the store. */
export const persistWorker = "persist";

/** Entries to a batch. */
const batchMax = 512;
/**
 * After a small batch the next one gathers for this long. Nobody waits for the store, as reads
 * add what the log holds beyond it, but each write costs a commit: at 500 messages a second a
 * write for each would be most of the work.
 */
const gatherMs = 250;
const smallBatch = batchMax / 4;

/** What persist works on. */
export interface PersistDependencies extends ParkingDependencies {
  store: MessageStore;
  clock: Clock;
}

/** Starts the worker. */
export function startPersist(deps: PersistDependencies): Running {
  const { log, store, clock, logger } = deps;
  const states = new ChannelStates(log);
  const parking = new Parking(persistWorker, deps);
  const [began, ended] = ["persist_failed", "persist_works_again"];
  const outage = new Outage({ logger, clock, level: "error", began, ended });
  return log.work(
    {
      name: persistWorker,
      batchMax,
      isOurs: deps.isOurs,
      onError: (err) => outage.failed(err),
    },
    async (entries) => {
      await persist(entries, states, parking, store);
      outage.worked();
      if (entries.length < smallBatch) await sleep(clock, gatherMs);
    },
  );
}

async function persist(
  entries: StreamEntry[],
  states: ChannelStates,
  parking: Parking,
  store: MessageStore,
) {
  const messages: Message[] = [];
  const revisions: Revision[] = [];
  const memberships: MembershipRow[] = [];
  const channels = new Map<string, ChannelRow>();
  const access = new Map<string, AccessRow>();
  const cursors = new Map<string, MemberCursorRow>();
  for (const stored of entries) {
    const read = await parking.read(stored, states);
    if (!read) continue;
    const { entry, state } = read;
    const { channelId } = entry;
    const accessBefore = state.access.changedSequence;
    for (const item of itemsOf(entry)) {
      memberships.push(...applyWithRows(state, item));
      if (item.case === "revision") revisions.push(item.value);
      if (item.case !== "message") continue;
      messages.push(item.value);
      // Of one member's the last is the furthest.
      for (const row of cursorsMovedBy(item.value)) {
        cursors.set(`${row.channelId} ${row.userId}`, row);
      }
    }
    const { changedSequence } = state.access;
    if (changedSequence !== accessBefore) {
      access.set(channelId, {
        channelId,
        access: state.access.snapshot(),
        sequence: changedSequence,
      });
    }
    channels.set(channelId, {
      channel: clone(ChannelSchema, state.channel),
      sequence: state.channel.lastChannelSequence,
      logSequence: stored.sequence,
      maxClientTimeMs: Number(entry.maxClientTimeMs),
    });
  }
  const cursorRows = [...cursors.values()];
  const kinds = [messages, revisions, memberships, cursorRows];
  const rows = Math.max(1, ...kinds.map(({ length }) => length));
  for (let from = 0; from < rows; from += rowsMax) {
    const to = from + rowsMax;
    await store.apply({
      messages: messages.slice(from, to),
      revisions: revisions.slice(from, to),
      memberships: memberships.slice(from, to),
      cursors: cursorRows.slice(from, to),
      // With the last ones: a channel's row says that all up to it is stored.
      access: to < rows ? [] : [...access.values()],
      channels: to < rows ? [] : [...channels.values()],
    });
  }
}
