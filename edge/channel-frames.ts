/** The frames of LIVE channels. */
import type { ChannelPosition } from "../gen/parley/message/v1/sync_pb.js";
import type { ChannelBatch } from "../mesh/channel-batch.ts";
import { fieldInvalid } from "../mesh/errors.ts";
import type { ServerFrameContent } from "./frame-codec.ts";

/** Channels to a FollowChannels frame: as many as SyncChannels takes. */
const followedAtOnceMax = 200;
/** As a part of a subject; whether there is such a channel, Message says. */
const channelIdPattern = /^[a-z0-9-]{1,64}$/;

/** @throws DomainError FIELD_INVALID */
export function checkFollowed(channels: readonly ChannelPosition[]): void {
  const field = "follow_channels.channels";
  if (channels.length === 0 || channels.length > followedAtOnceMax) {
    throw fieldInvalid(field, `are ${channels.length}; 1 to ${followedAtOnceMax} are possible`);
  }
  const ids = new Set(channels.map(({ channelId }) => channelId));
  if (ids.size < channels.length) throw fieldInvalid(field, "name a channel twice");
  for (const { channelId } of channels) {
    checkChannelId(field, channelId);
  }
}

/** @throws DomainError FIELD_INVALID */
export function checkChannelId(field: string, channelId: string): void {
  if (!channelIdPattern.test(channelId)) throw fieldInvalid(field, "have one that is no id");
}

/** What a batch is as a frame. */
export function channelDeliveries(batch: ChannelBatch): ServerFrameContent {
  const { channelId, prevSequence, sequence, memberCount, items } = batch;
  return {
    case: "channelDeliveries",
    value: {
      channelId,
      prevChannelSequence: prevSequence,
      channelSequence: sequence,
      memberCount,
      items: [...items],
    },
  };
}
