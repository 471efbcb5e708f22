/**
 * What push needs of Message: what happens in channels, as their logs have it, and how far members
 * have come. Message has the adapter, push calls it, and neither knows the other.
 */
import type { Running, WorkBatch, WorkOptions } from "./streams.ts";

/** A text that some members may have to learn of. */
export interface PushText {
  kind: "text";
  channelId: string;
  /** Of a group; "": the channel is between two. */
  channelName: string;
  /** Whether members' delivered cursors are not kept there. */
  isLive: boolean;
  messageId: bigint;
  senderId: string;
  text: string;
  /** When it was accepted, in ms since 1970. */
  sendTimeMs: number;
  /**
   * Who may have to learn of it: everybody else who is a member at that point of the log; of a LIVE
   * channel those whom the text mentions.
   */
  userIds: readonly string[];
}

/** An earlier text has become another; undefined: was deleted. */
export interface PushRevision {
  kind: "revision";
  channelId: string;
  messageId: bigint;
  text: string | undefined;
}

/** Users are no members any more. */
export interface PushDeparture {
  kind: "departure";
  channelId: string;
  userIds: readonly string[] | "everybody";
}

/** Something in a channel's order that push is about. */
export type PushItem = PushText | PushRevision | PushDeparture;

/** A user in a channel. */
export interface PushMember {
  userId: string;
  channelId: string;
}

/** What becomes of the items; see Stream.work of what a failure and `batch` mean. */
export type PushItemHandler = (items: PushItem[], batch: WorkBatch) => Promise<void>;

/** Message, as push sees it. */
export interface PushSource {
  /**
   * Gives what is in the logs, each channel's in its order, from where push has come: again what
   * it had not finished when it ended. Batches of different channels may come at once.
   */
  work(handler: PushItemHandler, isOurs?: WorkOptions["isOurs"]): Running;

  /**
   * Up to which message each member, of at most 1,000, has received the channel on any device; 0n:
   * none. What members have read they have received.
   * @throws where the store is away
   */
  received(members: readonly PushMember[]): Promise<bigint[]>;

  /**
   * The user's unread texts in all channels. Of more than 200 channels some are left out; those of
   * a channel that others write to may be half a minute old. @throws where the store is away
   */
  unreadCount(userId: string): Promise<number>;
}
