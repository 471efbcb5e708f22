/**
 * What brings a notification to a device that is not connected: Apple's service, a browser's, or
 * none in development. This comment is the specification.
 *
 * A provider never throws: whatever happens is one of the outcomes. A notification may be sent
 * again after any of them, and then has the same `collapseId`, so that a device shows one. A
 * provider bounds by itself how long one attempt takes.
 */
import type { PushToken } from "../../gen/parley/session/v1/session_pb.js";

/** Where a device is reached. */
export interface PushTarget {
  userId: string;
  deviceId: string;
  /** As Session has it. */
  token: PushToken;
}

/** What a device is shown. */
export interface PushNotification {
  target: PushTarget;
  channelId: string;
  messageId: bigint;
  /** A later notification with the same one takes the place of an earlier: the channel's id. */
  collapseId: string;
  /** 1 to 200 code points. */
  title: string;
  /** At most 200 code points; absent: the user wants no previews. */
  body?: string;
  /** The user's unread messages in all channels; absent: not known, leave the badge as it is. */
  badge?: number;
  /** After this, in ms since 1970, nobody should see it any more. */
  expireTimeMs: number;
}

/** What became of an attempt. */
export type PushOutcome =
  | { outcome: "sent" }
  /** The target is no more. `sinceMs`, in ms since 1970: if it was registered later, it lives. */
  | { outcome: "gone"; sinceMs?: number }
  /** Not now: try again, at the earliest after `afterMs`. */
  | { outcome: "retry"; afterMs?: number }
  /** This notification never will be; `reason` is for the log. */
  | { outcome: "refused"; reason: string };

/** Sends notifications. */
export interface PushProvider {
  send(notification: PushNotification): Promise<PushOutcome>;

  /** Ends connections; what is under way may be broken off. */
  close(): Promise<void>;
}
