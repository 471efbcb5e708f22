import type { Cursor, Typing } from "../../gen/parley/message/v1/cursor_pb.js";
import type { Channel, Message } from "../../gen/parley/message/v1/message_pb.js";
import type { SendMessageResponse } from "../../gen/parley/message/v1/message_service_pb.js";
import type { Presence } from "../../gen/parley/presence/v1/presence_pb.js";
import type { ConnectionState } from "./connection.ts";

/** What a {@link ParleyClient} tells, by the name of the event. */
export interface ParleyEvents {
  /**
   * A message of one of the user's channels, from whichever device. Of one channel they come in
   * the channel's order and each once; what was missed is fetched before what follows it.
   */
  message: Message;
  /**
   * A message that the device was told of was edited, deleted, or reacted to. What came after it
   * while the device was away comes as one such event.
   */
  revised: Revised;
  /** A channel's name, settings or number of members are known, or are others than before. */
  channel: Channel;
  /** A friend came or went. */
  presence: Presence;
  /** A member of a channel is writing: it is over 6 s after the last, or with the member's text. */
  typing: Typing;
  /**
   * A member of a channel, the user among them, has received or read more; after a reconnection
   * also what was missed. May come again, and out of order: of two the greater ids hold.
   */
  cursorMoved: CursorMoved;
  /** How many texts of a channel are unread has changed, or is known now. */
  unreadChanged: UnreadCount;
  /** The connection changed. */
  state: ConnectionState;
  /** Everything that was in the inbox when the connection began has been received. */
  caughtUp: undefined;
  /** The inbox no longer holds what the device lacks; it is being read from the history. */
  reset: undefined;
  /** The rebuilding that the reset began is done. */
  rebuilt: undefined;
  /**
   * Messages of the channel are told only from here on: older ones are in the history. A later
   * one for the same channel takes its place.
   */
  baseline: Baseline;
  /** A text from the resend queue was accepted, perhaps one of an earlier run of the program. */
  sent: Sent;
  /** A text from the resend queue was refused for good. */
  refused: Refused;
  /** A text from the resend queue has another id from now on. */
  renamed: Renamed;
  /** The store failed to keep something; the client goes on in memory. */
  storeFailed: unknown;
}

/** A message that has changed. */
export interface Revised {
  channelId: string;
  messageId: bigint;
  /** The `channel_sequence` of the change: of two for one message the greater counts. */
  channelSequence: number;
  /** The message as it is now; undefined: it is not at hand, `history` around its id has it. */
  message: Message | undefined;
}

/** Where a member's cursor is now. */
export interface CursorMoved {
  channelId: string;
  cursor: Cursor;
}

/** The unread texts of a channel. */
export interface UnreadCount {
  channelId: string;
  unreadCount: number;
}

/** Where a channel's messages begin for a device that has none of the older ones. */
export interface Baseline {
  channelId: string;
  /** The last message that is not told of; 0: there is none. */
  messageId: bigint;
}

/** A text that was accepted. */
export interface Sent {
  channelId: string;
  clientMessageId: string;
  result: SentResult;
}

/** The place of a text in its channel. */
export type SentResult = Pick<
  SendMessageResponse,
  "messageId" | "prevMessageId" | "channelSequence" | "sendTime"
>;

/** A text that was refused. */
export interface Refused {
  channelId: string;
  clientMessageId: string;
  /** A ConnectError. */
  error: unknown;
}

/** A text whose id was refused, because the device's clock was ahead: it is sent under another. */
export interface Renamed {
  channelId: string;
  previousClientMessageId: string;
  clientMessageId: string;
}

/** Calls the listeners of named events. */
export class Events<Map extends object> {
  private readonly listeners: { [Name in keyof Map]?: Set<(value: Map[Name]) => void> } = {};

  /** Adds a listener; the function returned removes it. */
  on<Name extends keyof Map>(name: Name, listener: (value: Map[Name]) => void): () => void {
    const listeners = this.listeners[name] ?? new Set();
    this.listeners[name] = listeners;
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  /** Whether anybody listens. */
  has(name: keyof Map): boolean {
    return (this.listeners[name]?.size ?? 0) > 0;
  }

  /** Calls all listeners. One that throws is an uncaught error and stops nobody else. */
  emit<Name extends keyof Map>(name: Name, value: Map[Name]): void {
    for (const listener of this.listeners[name] ?? []) {
      try {
        listener(value);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
