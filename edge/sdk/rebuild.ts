import type { Channel } from "../../gen/parley/message/v1/message_pb.js";
import { type PullOptions, pullChannels } from "./channel-pull.ts";
import type { ChannelSync } from "./channel-sync.ts";

/** What a rebuilding works with. */
export interface RebuildOptions extends PullOptions {
  sync: PullOptions["sync"] & Pick<ChannelSync, "list">;
  /** All of the user's channels; tries until they can be read. */
  listChannels(): AsyncIterable<Channel>;
}

/**
 * Makes up from the history for what the inbox no longer holds: channels that the device knows
 * are completed, or begin anew with their newest page; others begin with what comes next. Resolves
 * when everything is done, or rejects when the signal says so.
 */
export async function rebuild({ listChannels, ...options }: RebuildOptions): Promise<void> {
  const { sync } = options;
  const before = sync.known().map(({ channelId }) => channelId);
  for await (const channel of listChannels()) sync.list(channel);
  const known = new Set(before);
  const toPull = sync.known().filter(({ channelId, member }) => member && known.has(channelId));
  await pullChannels(
    toPull.map(({ channelId }) => channelId),
    options,
  );
}
