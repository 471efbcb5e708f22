import type { Channel } from "../../gen/parley/message/v1/message_pb.js";
import type { ChannelSync } from "./channel-sync.ts";

/** What a rebuilding works with. */
export interface RebuildOptions {
  sync: Pick<ChannelSync, "known" | "list" | "complete">;
  /** All of the user's channels; tries until they can be read. */
  listChannels(): AsyncIterable<Channel>;
  signal: AbortSignal;
}

/** Channels whose history is read at once. */
const channelsAtOnce = 4;

/**
 * Makes up from the history for what the inbox no longer holds: channels that the device knows
 * are completed, the newest first, or begin anew with their newest page; others begin with what
 * comes next. Resolves when everything is done, or rejects when the signal says so.
 */
export async function rebuild({ sync, listChannels, signal }: RebuildOptions): Promise<void> {
  const before = new Set(sync.known().map(({ channelId }) => channelId));
  const sequences = new Map<string, number>();
  for await (const channel of listChannels()) {
    sync.list(channel);
    sequences.set(channel.channelId, channel.lastChannelSequence);
  }
  const known = sync.known().filter(({ channelId, member }) => member && before.has(channelId));
  const next = known.values();
  const complete = async () => {
    for (const { channelId } of next) {
      signal.throwIfAborted();
      await sync.complete(channelId, sequences.get(channelId));
    }
  };
  await Promise.all(Array.from({ length: channelsAtOnce }, complete));
  signal.throwIfAborted();
}
