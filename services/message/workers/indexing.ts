/** The worker that carries the log into the search index. */
import type { Message, Revision } from "../../../gen/parley/message/v1/message_pb.js";
import { type Clock, sleep } from "../../../mesh/clock.ts";
import { messageTimeMs } from "../../../mesh/ids.ts";
import { Outage } from "../../../mesh/outage.ts";
import type { Running, StreamEntry } from "../../../mesh/streams.ts";
import { itemsOf } from "../channel/channel-item.ts";
import { LogIncomplete } from "../channel/channel-loader.ts";
import { ChannelStates } from "../channel/channel-states.ts";
import {
  type IndexBatch,
  type IndexedChannel,
  type IndexedText,
  indexRowsMax,
  type SearchIndex,
} from "../search/search-index.ts";
import type { MembershipRow } from "../store/message-store.ts";
import { IndexLosses } from "./index-losses.ts";
import { Parking, type ParkingDependencies } from "./parking.ts";
import { applyWithRows } from "./projection.ts";

/** The name of its checkpoint: entries up to it are in the index. */
export const indexWorker = "index";

/** Entries to a batch. */
const batchMax = 1_024;
/** UTF-16 units of texts to one write. */
const textUnitsMax = 2 * 1024 * 1024;
/**
 * After each batch the next one gathers for this long: nobody waits for the index, and what is
 * written together costs less.
 */
const gatherMs = 500;
/**
 * A shard's texts that are written in a second, about: at 90 us of CPU each (PGlite,
 * bench/search.ts) the index leaves the processor to those who wait for it, and follows later.
 */
const textsPerSecondMax = 2_000;
/** The longest pause: stopping waits for it. */
const pauseMsMax = 1_000;

/** What indexing works on. */
export interface IndexingDependencies extends ParkingDependencies {
  index: SearchIndex;
  clock: Clock;
}

/** Starts the worker. */
export function startIndexing(deps: IndexingDependencies): Running {
  const { log, index, clock, logger, metrics, isOurs } = deps;
  const states = new ChannelStates(log);
  const parking = new Parking(indexWorker, deps);
  const [began, ended] = ["indexing_failed", "indexing_works_again"];
  const outage = new Outage({ logger, clock, level: "error", began, ended });
  const losses = new IndexLosses(indexWorker, deps);
  /** Of each shard whose batch is under way, when its first message was accepted. */
  const underWay = new Map<string, number>();
  metrics?.gauge(
    "parley_index_lag_seconds",
    "How long ago the oldest message was accepted that is on its way into the search index.",
    () => Math.max(0, ...[...underWay.values()].map((timeMs) => clock.nowMs() - timeMs)) / 1_000,
  );
  return log.work(
    {
      name: indexWorker,
      batchMax,
      isOurs,
      onError: (err) => outage.failed(err),
    },
    async (entries) => {
      const shard = log.epoch(entries[0]!.subject);
      const trimmed = await losses.before(entries);
      const { batch, skipped } = await projected(entries, states, parking);
      const first = batch.texts[0];
      if (first) underWay.set(shard, messageTimeMs(first.messageId));
      for (const part of partsOf(batch)) await index.apply(part);
      underWay.delete(shard);
      outage.worked();
      losses.indexed(entries, trimmed + skipped);
      const dueMs = (batch.texts.length / textsPerSecondMax) * 1_000;
      await sleep(clock, Math.min(pauseMsMax, Math.max(gatherMs, dueMs)));
    },
  );
}

/** What entries come to; `skipped` of them rest on what the log no longer has. */
async function projected(
  entries: StreamEntry[],
  states: ChannelStates,
  parking: Parking,
): Promise<{ batch: IndexBatch; skipped: number }> {
  let skipped = 0;
  const texts: IndexedText[] = [];
  const memberships: MembershipRow[] = [];
  const channels = new Map<string, IndexedChannel>();
  for (const stored of entries) {
    const read = await parking.read(stored, states).catch((thrown: unknown) => {
      if (!(thrown instanceof LogIncomplete)) throw thrown;
      skipped++;
    });
    if (!read) continue;
    const { entry, state } = read;
    let hasChanged = state.channel.lastChannelSequence === 0;
    for (const item of itemsOf(entry)) {
      memberships.push(...applyWithRows(state, item));
      if (item.case === "message" && item.value.body.case !== "text") hasChanged = true;
      const text = item.case === "message" ? indexedText(item.value) : revisedText(item.value);
      if (text) texts.push(text);
    }
    if (!hasChanged) continue;
    const { historyBeforeJoining, lastChannelSequence } = state.channel;
    channels.set(entry.channelId, {
      channelId: entry.channelId,
      historyBeforeJoining,
      sequence: lastChannelSequence,
    });
  }
  return { batch: { texts, memberships, channels: [...channels.values()] }, skipped };
}

/** What a message is found by as it is now; undefined: it has never been a text. */
export function indexedText(message: Message): IndexedText | undefined {
  const { channelId, messageId, channelSequence, senderId, body, mentionedUserIds } = message;
  if (body.case !== "text" && !message.deleteTime) return undefined;
  const text = body.case === "text" ? body.value : "";
  const lastSequence = message.deleteTime ? message.revisionSequence : message.editSequence;
  const sequence = lastSequence || channelSequence;
  return { channelId, messageId, channelSequence, sequence, senderId, text, mentionedUserIds };
}

/** What a message is found by after a revision; undefined: as before. */
function revisedText(revision: Revision): IndexedText | undefined {
  const { channelId, messageId, channelSequence: sequence, senderId, change } = revision;
  if (change.case !== "edit" && change.case !== "deletion") return undefined;
  const { text = "", mentionedUserIds = [] } = change.case === "edit" ? change.value : {};
  const channelSequence = revision.messageChannelSequence;
  return { channelId, messageId, channelSequence, sequence, senderId, text, mentionedUserIds };
}

/** Cuts a batch to what the index takes at once. Who may read a text is written before it. */
export function* partsOf({ texts, memberships, channels }: IndexBatch): Generator<IndexBatch> {
  for (let from = 0; from < Math.max(memberships.length, channels.length); from += indexRowsMax) {
    const to = from + indexRowsMax;
    yield {
      texts: [],
      memberships: memberships.slice(from, to),
      channels: channels.slice(from, to),
    };
  }
  for (let from = 0, to = 0; from < texts.length; from = to) {
    for (let units = 0; to < texts.length && to - from < indexRowsMax; to++) {
      units += texts[to]!.text.length;
      if (units > textUnitsMax && to > from) break;
    }
    yield { texts: texts.slice(from, to), memberships: [], channels: [] };
  }
}
