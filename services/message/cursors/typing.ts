/** Who is writing: told to the other members who are connected, and to nobody else. */
import { DeliveryMode } from "../../../gen/parley/message/v1/message_pb.js";
import type { Clock } from "../../../mesh/clock.ts";
import { RecentMap } from "../../../mesh/recent-map.ts";
import type { Identity } from "../../../mesh/rpc.ts";
import type { Streams } from "../../../mesh/streams.ts";
import type { Blocks } from "../channel/blocks.ts";
import type { ChannelState } from "../channel/channel-state.ts";
import type { Channels } from "../channel/channels.ts";
import { refuse } from "../message-codes.ts";
import { tell } from "./member-events.ts";

/** Of a device's calls closer to each other than this the later ones do nothing. */
export const typingIntervalMs = 1_000;
/** Devices whose last call is remembered. */
const devicesMax = 20_000;

/** What it works with. */
export interface TypingOptions {
  channels: Channels;
  streams: Pick<Streams, "publishInbox">;
  blocks: Blocks;
  clock: Clock;
}

/** Tells of the devices that write, as far as they ask this instance. */
export class Typing {
  private readonly options: TypingOptions;
  private readonly toldMs = new RecentMap<string, number>(devicesMax);

  constructor(options: TypingOptions) {
    this.options = options;
  }

  /** Tells the other members of a COPY channel. @throws DomainError NOT_A_MEMBER, BLOCKED, UNAVAILABLE */
  async send({ userId, deviceId }: Identity, channelId: string): Promise<void> {
    const { channels, streams, blocks, clock } = this.options;
    const look = (state: ChannelState) => ({
      mode: state.channel.mode,
      others: [...state.members.keys()].filter((memberId) => memberId !== userId),
      blocked: blocks.isBlocked(state, userId),
    });
    const found = await channels.lookAsMember(channelId, userId, look, "TYPE");
    const { mode, others, blocked } = found;
    if (await blocked) throw refuse("BLOCKED", `${others[0]} has blocked ${userId}`);
    if (mode !== DeliveryMode.COPY) return;
    const nowMs = clock.monotonicMs();
    const lastMs = this.toldMs.get(deviceId);
    if (lastMs !== undefined && nowMs - lastMs < typingIntervalMs) return;
    this.toldMs.set(deviceId, nowMs);
    tell(others, { case: "typing", value: { channelId, userId } }, streams);
  }
}
