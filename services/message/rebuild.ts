/**
 * Makes anew what others are found by, from the messages in the store, channel by channel. Safe
 * while the system runs: every write is one that a worker makes too, and of two states the newer
 * stays. What the log has and the store has not yet is the workers' to bring.
 */
import type { Message } from "../../gen/parley/message/v1/message_pb.js";
import { indexedText, partsOf } from "./indexing.ts";
import type { ChannelRow, MembershipRow, MessageStore } from "./message-store.ts";
import { membershipRows } from "./projection.ts";
import type { SearchIndex } from "./search-index.ts";

/** What has been done so far. */
export interface RebuildProgress {
  channels: number;
  messages: number;
}

/** Writes what some messages of a channel, in their order, come to. */
export type Rebuild = (channel: ChannelRow, messages: readonly Message[]) => Promise<void>;

/** Channels to a page, and messages. */
const channelsMax = 100;
const messagesMax = 500;

/**
 * The search index: its texts and who may find them.
 * @throws SqlUnavailable
 */
export function rebuildSearch(index: SearchIndex): Rebuild {
  return async ({ channel, sequence }, messages) => {
    const { channelId, historyBeforeJoining } = channel;
    const texts = messages.map(indexedText).filter((text) => text !== undefined);
    const memberships = messages.flatMap(membershipRows);
    const channels = [{ channelId, historyBeforeJoining, sequence }];
    for (const part of partsOf({ texts, memberships, channels })) await index.apply(part);
  };
}

/**
 * The store's tables by which it finds memberships, also by user, and messages by their client ids;
 * where messages lie is found again by every rebuild. An edited text's client id is left as it is: what was sent under it
 * is no longer known.
 * @throws StoreUnavailable
 */
export function rebuildStore(store: MessageStore): Rebuild {
  return async (_channel, messages) => {
    const unrevised = messages.filter(({ revisionSequence }) => revisionSequence === 0);
    await store.apply({ messages: unrevised });
    const memberships: MembershipRow[] = messages.flatMap(membershipRows);
    for (let from = 0; from < memberships.length; from += messagesMax) {
      await store.apply({ memberships: memberships.slice(from, from + messagesMax) });
    }
  };
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
      const messages = stored.map(({ message }) => message);
      if (messages.length > 0) await rebuild(channel, messages);
      minMessageId = (messages.at(-1)?.messageId ?? 0n) + 1n;
      more = messages.length === messagesMax;
      progress.messages += messages.length;
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
