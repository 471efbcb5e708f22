import type { Message, Revision } from "../../gen/parley/message/v1/message_pb.js";
import type {
  ListMessagesRequest,
  ListMessagesResponse,
  ListRevisedMessagesRequest,
  ListRevisedMessagesResponse,
} from "../../gen/parley/message/v1/message_service_pb.js";
import type { ChannelPosition } from "./device-entries.ts";
import type { Baseline } from "./events.ts";
import type { Timers } from "./timers.ts";

/** What the synchronisation works with. */
export interface ChannelSyncOptions {
  userId: string;
  /** Reads a page of history; waits for a connection as long as it takes. */
  listMessages(
    request: Pick<ListMessagesRequest, "channelId" | "pageSize" | "pageToken" | "order" | "start">,
    signal: AbortSignal,
  ): Promise<ListMessagesResponse>;
  /** Reads a page of what was revised; waits for a connection as long as it takes. */
  listRevisedMessages(
    request: Omit<ListRevisedMessagesRequest, "$typeName">,
    signal: AbortSignal,
  ): Promise<ListRevisedMessagesResponse>;
  /** The next message of its channel. */
  onMessage(message: Message): void;
  /**
   * The next revision of its channel, of a message told of before. False: what the message is now
   * can't be told from it, and is to be read.
   */
  onRevision(revision: Revision): boolean;
  /** A message told of before, as it is now. */
  onRevised(message: Message): void;
  /** A channel begins in the middle. */
  onBaseline(baseline: Baseline): void;
  /** How far a channel is has changed. */
  onPosition(position: ChannelPosition): void;
  /** A message is held back: the inbox is not processed beyond the entry before it. */
  onHeld(channelId: string, prevInboxSequence: bigint): void;
  /** Nothing of the channel is held back any more. */
  onReleased(channelId: string): void;
  timers: Timers;
  random: () => number;
  /** Ends all reading. */
  signal: AbortSignal;
}
