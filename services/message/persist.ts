/** The worker that carries the log into the store. */
import { clone } from "@bufbuild/protobuf";
import { ChannelSchema, type Message } from "../../gen/parley/message/v1/message_pb.js";
import type { Logger } from "../../mesh/logger.ts";
import type { Running, Stream, StreamEntry } from "../../mesh/streams.ts";
import { ChannelStates } from "./channel-states.ts";
import { decode } from "./log-entries.ts";
import type { ChannelRow, MembershipRow, MessageStore } from "./message-store.ts";
import { applyWithRows } from "./projection.ts";

/** The name of its checkpoint: entries up to it are in the store. */
export const persistWorker = "persist";

/** Entries to a batch. */
const batchMax = 256;
/** Rows of a kind to one write: the store's limit. */
const rowsMax = 1_024;

/** Starts the worker. */
export function startPersist(log: Stream, store: MessageStore, logger: Logger): Running {
  const states = new ChannelStates(log);
  return log.work(
    {
      name: persistWorker,
      batchMax,
      onError: (err) => logger.error({ event: "persist_failed", err }),
    },
    (entries) => persist(entries, states, store),
  );
}

async function persist(entries: StreamEntry[], states: ChannelStates, store: MessageStore) {
  const messages: Message[] = [];
  const memberships: MembershipRow[] = [];
  const channels = new Map<string, ChannelRow>();
  for (const stored of entries) {
    const entry = decode(stored);
    const state = await states.before(entry, stored.sequence);
    for (const { item } of entry.items) {
      if (item.case !== "message") continue;
      memberships.push(...applyWithRows(state, item.value));
      messages.push(item.value);
    }
    channels.set(entry.channelId, {
      channel: clone(ChannelSchema, state.channel),
      sequence: state.channel.lastChannelSequence,
      logSequence: stored.sequence,
      maxClientTimeMs: Number(entry.maxClientTimeMs),
    });
  }
  // Whoever finds a channel finds its members and messages.
  for (const slice of slices(messages)) {
    await store.apply({ messages: slice, memberships: [], channels: [] });
  }
  for (const slice of slices(memberships)) {
    await store.apply({ messages: [], memberships: slice, channels: [] });
  }
  await store.apply({ messages: [], memberships: [], channels: [...channels.values()] });
}

function* slices<T>(rows: T[]): Generator<T[]> {
  for (let from = 0; from < rows.length; from += rowsMax) yield rows.slice(from, from + rowsMax);
}
