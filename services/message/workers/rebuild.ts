/**
 * Makes anew what others are found by, from the messages in the store, channel by channel. Safe
 * while the system runs: every write is one that a worker makes too, and of two states the newer
 * stays. What the log has and the store has not yet is the workers' to bring.
 */
import { create } from "@bufbuild/protobuf";
import { type Revision, RevisionSchema } from "../../../gen/parley/message/v1/message_pb.js";
import { AccessState } from "../channel/access-state.ts";
import type { SearchIndex } from "../search/search-index.ts";
import type { ChannelRow, MessageStore, StoredMessage } from "../store/message-store.ts";
import { rowsMax } from "../store/message-store-limits.ts";
import { indexedText, partsOf } from "./indexing.ts";
import { membershipRows } from "./projection.ts";

/** What has been done so far. */
export interface RebuildProgress {
  channels: number;
  messages: number;
}

/** Writes what the next messages of a channel, in their order, come to; channel after channel. */
export type Rebuild = (channel: ChannelRow, page: readonly StoredMessage[]) => Promise<void>;

/** Channels to a page, and messages. */
const channelsMax = 100;
const messagesMax = 500;

/**
 * The search index: its texts and who may find them.
 * @throws SqlUnavailable
 */
export function rebuildSearch(index: SearchIndex): Rebuild {
  return async ({ channel, sequence }, page) => {
    const { channelId, historyBeforeJoining } = channel;
    const texts = page.flatMap(({ message }) => indexedText(message) ?? []);
    const memberships = page.flatMap(({ message }) => membershipRows(message));
    const channels = [{ channelId, historyBeforeJoining, sequence }];
    for (const part of partsOf({ texts, memberships, channels })) await index.apply(part);
  };
}

/**
 * The store's tables by which it finds memberships, also by user, bans and invite links, messages by
 * their client ids, and revised messages by their last edit and their reactions; where messages lie
 * is found again by every rebuild. The client ids of edited texts and of revisions are left as they
 * are: what was sent under them is no longer known.
 * @throws StoreUnavailable
 */
export function rebuildStore(store: MessageStore): Rebuild {
  let walked = { channelId: "", access: new AccessState(undefined, 0) };
  return async ({ channel: { channelId } }, page) => {
    const messages = page.map(({ message }) => message);
    await store.apply({ messages: messages.filter((it) => it.revisionSequence === 0) });
    for (const memberships of slices(messages.flatMap(membershipRows))) {
      await store.apply({ memberships });
    }
    for (const revisions of slices(page.flatMap(revisionPlaces))) await store.apply({ revisions });
    if (walked.channelId !== channelId) {
      walked = { channelId, access: new AccessState(undefined, 0) };
    }
    const { access } = walked;
    const { changedSequence: before } = access;
    for (const message of messages) access.apply(message);
    const { changedSequence: sequence } = access;
    if (sequence > before) {
      await store.apply({ access: [{ channelId, access: access.snapshot(), sequence }] });
    }
  };
}

/** The revisions that are known of a message, without what they changed: that is stored. */
function revisionPlaces({ message, reactions }: StoredMessage): Revision[] {
  const { channelId, messageId, channelSequence, revisionSequence } = message;
  const sequences = [revisionSequence, ...reactions.map(({ sequence }) => sequence)];
  const place = { channelId, messageId, messageChannelSequence: channelSequence };
  return sequences
    .filter((sequence) => sequence > 0)
    .map((sequence) => create(RevisionSchema, { ...place, channelSequence: sequence }));
}

function slices<Row>(rows: readonly Row[]): Row[][] {
  const count = Math.ceil(rows.length / rowsMax);
  return Array.from({ length: count }, (_, i) => rows.slice(i * rowsMax, (i + 1) * rowsMax));
}

/**
 * Walks through the channels, or one of them, and tells after each page of messages how far it is.
 * @throws StoreUnavailable, and what `rebuild` throws: begin again, it changes nothing twice
 */
export async function* rebuildAll(
  store: MessageStore,
  rebuild: Rebuild,
  channelId = "",
): AsyncGenerator<RebuildProgress> {
  const progress: RebuildProgress = { channels: 0, messages: 0 };
  for await (const channel of channelsOf(store, channelId)) {
    await store.findMessages(channel);
    let minMessageId = 1n;
    for (let more = true; more; ) {
      const range = { channelId: channel.channel.channelId, minMessageId, newestFirst: false };
      const stored = await store.listMessages({ ...range, limit: messagesMax });
      if (stored.length > 0) await rebuild(channel, stored);
      minMessageId = (stored.at(-1)?.message.messageId ?? 0n) + 1n;
      more = stored.length === messagesMax;
      progress.messages += stored.length;
      yield { ...progress };
    }
    progress.channels++;
  }
  yield progress;
}

async function* channelsOf(store: MessageStore, channelId: string): AsyncGenerator<ChannelRow> {
  if (channelId !== "") {
    const channel = await store.getChannel(channelId);
    if (channel) yield channel;
    return;
  }
  for (let after = ""; ; ) {
    const page = await store.listAllChannels(after, channelsMax);
    yield* page;
    if (page.length < channelsMax) return;
    after = page.at(-1)!.channel.channelId;
  }
}
