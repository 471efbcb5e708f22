/** What somebody wants of a channel, and what becomes of it. */
import type { Channel, Message, Revision } from "../../../gen/parley/message/v1/message_pb.js";
import type { ChannelState } from "./channel-state.ts";
import type { Placement } from "./placement.ts";
import type { Found } from "./revision-targets.ts";

/** What a change puts into the channel. */
export type Body = Message["body"];

/** A change that somebody wants. */
export interface Change {
  senderId: string;
  /** Recognises a resend; empty: the change is recognised by its effect. */
  clientMessageId: string;
  /** The time in `clientMessageId`, in ms since 1970. */
  clientTimeMs: number;
  replyToMessageId: bigint;
  /** The message that it answers or revises: the decision is given it. 0 or unset: none. */
  targetId?: bigint;
  /** User names that its text may mention: the decision is given who they are. */
  names?: readonly string[];
  /** Whose memberships it hangs on, besides the sender's. */
  userIds?: readonly string[];
  traceParent: string;
  /** About what it takes in an entry. */
  bytes: number;
  /** When the caller stops waiting, in ms since 1970. */
  deadlineMs: number;
  /**
   * Decides against the channel as it is (undefined: it does not exist), again at every try:
   * what to append, or undefined where nothing is left to do. A new channel comes with it.
   * @throws DomainError to refuse.
   */
  decide(state: ChannelState | undefined, basis: Basis): Decision | undefined;
  /** Told the outcome, once. */
  done(outcome: Outcome | Error): void;
}

/** What a change asked for besides the channel, as of the decision. */
export interface Basis {
  target: Found;
  /** By name in lower case; names of nobody, or that can't be looked up now, are missing. */
  userIdsByName: ReadonlyMap<string, string>;
  /** Whether the other of a DIRECT channel has blocked the sender, as far as is known. */
  isBlocked: boolean;
}

/** What to append: a message or a revision of one. */
export type Decision = NewMessage | NewRevision;

/** A message to append. */
export interface NewMessage {
  body: Body;
  mentionedUserIds?: string[];
  /** Set where the change creates the channel. */
  newChannel?: Channel;
}

/** A revision to append. */
export interface NewRevision {
  /** The message that it changes. */
  messageId: bigint;
  messageChannelSequence: number;
  change: Revision["change"];
}

/** The change is durable. */
export interface Outcome {
  /** Its place; undefined: there was nothing to do. */
  placement: Placement | undefined;
  state: ChannelState;
}
