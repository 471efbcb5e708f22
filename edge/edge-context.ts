import type { AccessTokenChecks } from "../mesh/access-token-checks.ts";
import type { ChannelFeeds } from "../mesh/channel-feeds.ts";
import type { Clock } from "../mesh/clock.ts";
import type { InboxFeeds } from "../mesh/inbox-feed.ts";
import type { Logger } from "../mesh/logger.ts";
import type { Mesh } from "../mesh/rpc.ts";
import type { Acks } from "./acks.ts";
import type { ClientAddresses } from "./client-addresses.ts";
import type { Devices } from "./devices.ts";
import type { EdgeConfig } from "./edge-config.ts";
import type { EdgeMetrics } from "./edge-metrics.ts";
import type { OtherEdges } from "./other-edges.ts";
import type { SendLinks } from "./send-links.ts";
import type { TimerWheel } from "./timer-wheel.ts";
import type { TurnFlush } from "./turn-flush.ts";

/** What all connections of an edge share. */
export interface EdgeContext {
  readonly config: EdgeConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: EdgeMetrics;
  readonly mesh: Mesh;
  readonly verifier: Pick<AccessTokenChecks, "verify" | "isRevoked">;
  readonly sends: Pick<SendLinks, "send" | "markDelivered" | "markChannels">;
  readonly feeds: InboxFeeds;
  readonly channels: ChannelFeeds;
  readonly devices: Devices;
  readonly acks: Acks;
  readonly wheel: TimerWheel;
  readonly turnFlush: TurnFlush;
  readonly addresses: ClientAddresses;
  readonly otherEdges: Pick<OtherEdges, "addressFor" | "nextUrl">;
  /** Of this edge; begins the ids of its connections. */
  readonly instanceId: string;
}
