import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { EventSchema } from "../../../gen/parley/edge/v1/frame_pb.js";
import {
  type InboxDelivery as DeliveryMessage,
  InboxDeliverySchema,
  type InboxEntry,
  InboxEntrySchema,
  InboxItemSchema,
  InboxResetReason,
} from "../../../gen/parley/message/v1/inbox_pb.js";
import type { FollowResponseSchema } from "../../../gen/parley/message/v1/message_service_pb.js";
import type { ChannelUpdate } from "../../../gen/parley/message/v1/sync_pb.js";
import type { ChannelBatch } from "../../../mesh/channel-batch.ts";
import type { FollowPosition } from "../../../mesh/channel-feeds.ts";
import type { Timer } from "../../../mesh/clock.ts";
import type { InboxFeeds } from "../../../mesh/inbox-feed.ts";
import type { Identity, ResponseStream } from "../../../mesh/rpc.ts";
import type {
  FeedDelivery,
  FeedPosition,
  Follower,
  Following,
  ResetReason,
} from "../../../mesh/subject-feed-following.ts";
import { refuse } from "../message-codes.ts";
import {
  type ChannelListener,
  FollowedChannels,
  type FollowedChannelsOptions,
} from "./followed-channels.ts";

type Responses = ResponseStream<MessageInitShape<typeof FollowResponseSchema>>;
type FollowEvent = NonNullable<MessageInitShape<typeof FollowResponseSchema>["event"]>;

/** Bytes that wait for one reader before its following pauses. */
export const waitingBytesMax = 256 * 1024;
/** How long a following may stay paused before its stream ends with SLOW_CONSUMER. */
export const laggingMsMax = 30_000;
/** Responses are cut at this size; a larger entry travels alone. */
const responseBytesMax = 512 * 1024;
/** What an entry needs in a response besides its bytes, at most. */
const deliveryOverheadBytes = 32;

/** What a follower works with. */
export interface InboxFollowerOptions extends FollowedChannelsOptions {
  feeds: InboxFeeds;
}

/**
 * One reader of an inbox and of the LIVE channels beside it. What gathers in one turn of the event loop is one response. A reader
 * that falls behind is never buffered for without end: its following pauses until what waits has
 * left, and then goes on where it stopped.
 */
export class InboxFollower implements Follower, ChannelListener {
  private readonly deps: InboxFollowerOptions;
  private readonly responses: Responses;
  private readonly userId: string;
  private readonly channels: FollowedChannels;
  /** What to follow when following has begun. */
  private firstChannels: readonly FollowPosition[] = [];
  private following: Following | undefined;
  private hasStarted = false;
  private isStopped = false;
  private gathered: DeliveryMessage[] = [];
  private gatheredBytes = 0;
  private writtenBytes = 0;
  private flushing: NodeJS.Immediate | undefined;
  /** Set: nothing is delivered until what waits has left; too late when it fires. */
  private lagging: Timer | undefined;

  constructor(deps: InboxFollowerOptions, responses: Responses, identity: Identity) {
    this.deps = deps;
    this.responses = responses;
    this.userId = identity.userId;
    this.channels = new FollowedChannels(deps, identity, this);
  }

  /** Begins to follow the inbox and these channels, unless the reader has gone. */
  start(position: FeedPosition, channels: readonly FollowPosition[]): void {
    if (this.isStopped) return;
    this.firstChannels = channels;
    const { feeds } = this.deps;
    // Who can't go on from its position is told so when the feed has found another.
    if (!feeds.resetReason(this.userId, position)) {
      this.sayStarted(position.sequence, InboxResetReason.UNSPECIFIED);
    }
    this.following = feeds.follow(this.userId, position, this);
  }

  /** Ends the stream with an error. */
  end(error: Error): void {
    this.flush();
    this.responses.end(error);
  }

  /** The stream has ended: nothing is written any more. */
  stop(): void {
    this.isStopped = true;
    this.lagging?.cancel();
    clearImmediate(this.flushing);
    this.channels.stop();
    if (this.following) this.deps.feeds.stop(this.following);
  }

  deliver({ sequence, prevSequence, data }: FeedDelivery): boolean {
    const bytes = data.length + deliveryOverheadBytes;
    if (this.gatheredBytes + bytes > responseBytesMax) this.flush();
    let entry: InboxEntry;
    try {
      entry = fromBinary(InboxEntrySchema, data);
    } catch (error) {
      // An entry that can't be decoded: a fault of ours, which the stream's end logs.
      this.responses.end(error);
      return false;
    }
    this.gathered.push({
      $typeName: InboxDeliverySchema.typeName,
      inboxSequence: BigInt(sequence),
      prevInboxSequence: BigInt(prevSequence),
      entry,
    });
    this.gatheredBytes += bytes;
    this.flushing ??= setImmediate(() => this.flush());
    for (const { item } of entry.items) if (item.case === "message") this.channels.note(item.value);
    return this.hasRoom();
  }

  deliverChannel(batch: ChannelBatch): boolean {
    this.sayCounted(batch.bytes, {
      case: "channelDeliveries",
      value: {
        channelId: batch.channelId,
        prevChannelSequence: batch.prevSequence,
        channelSequence: batch.sequence,
        memberCount: batch.memberCount,
        items: batch.items.map(({ item }) => ({ $typeName: InboxItemSchema.typeName, item })),
      },
    });
    return this.hasRoom();
  }

  update(updates: ChannelUpdate[], onWritten: () => void): void {
    this.flush();
    const event: FollowEvent = { case: "channelUpdates", value: { updates } };
    this.responses.write({ event }, onWritten);
  }

  /** False: what waits is enough. */
  private hasRoom(): boolean {
    if (this.writtenBytes + this.gatheredBytes <= waitingBytesMax) return true;
    this.lagging ??= this.deps.clock.setTimer(laggingMsMax, () => {
      const text = `what waited was not read within ${laggingMsMax} ms`;
      this.end(refuse("SLOW_CONSUMER", text));
    });
    return false;
  }

  caughtUp(sequence: number): void {
    this.say({ case: "caughtUp", value: { inboxSequence: BigInt(sequence) } });
  }

  reset(why: ResetReason, sequence: number): void {
    const reason = InboxResetReason[why];
    if (!this.hasStarted) this.sayStarted(sequence, reason);
    else this.say({ case: "reset", value: { reason, inboxSequence: BigInt(sequence) } });
  }

  /** Of what is not stored, what happens in channels: presence has a contract of its own. */
  event(data: Uint8Array): void {
    if (!this.hasStarted) return;
    const { event } = fromBinary(EventSchema, data);
    if (event.case === "typing" || event.case === "cursorsMoved") this.say(event);
  }

  private sayStarted(sequence: number, resetReason: InboxResetReason): void {
    this.hasStarted = true;
    const inboxEpoch = this.deps.feeds.epoch(this.userId);
    const value = { inboxEpoch, inboxSequence: BigInt(sequence), resetReason };
    this.say({ case: "started", value });
    this.channels.follow(this.firstChannels);
  }

  private say(event: FollowEvent): void {
    this.flush();
    this.responses.write({ event });
  }

  private flush(): void {
    clearImmediate(this.flushing);
    this.flushing = undefined;
    if (this.gathered.length === 0) return;
    const bytes = this.gatheredBytes;
    const deliveries = this.gathered;
    this.gathered = [];
    this.gatheredBytes = 0;
    this.sayCounted(bytes, { case: "deliveries", value: { deliveries } });
  }

  /** Says what a reader that falls behind is waited for with. */
  private sayCounted(bytes: number, event: FollowEvent): void {
    this.flush();
    this.writtenBytes += bytes;
    this.responses.write({ event }, () => this.onWritten(bytes));
  }

  private onWritten(bytes: number): void {
    this.writtenBytes -= bytes;
    if (!this.lagging || this.writtenBytes + this.gatheredBytes > 0) return;
    this.lagging.cancel();
    this.lagging = undefined;
    this.deps.feeds.resume(this.following!);
    this.channels.resume();
  }
}
