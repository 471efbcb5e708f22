/** A turn of a replay: what is said, what is done around it, and what came of it. */

/** Something done to an earlier turn of the same dialogue, or to the last one. */
export type Change = { at: number } & (
  | { kind: "edit"; text: string }
  | { kind: "delete" }
  | { kind: "react"; emoji: string }
  | { kind: "take_back"; emoji: string }
);

/** What is done around a turn. */
export interface Doings {
  /** The turn that it answers. */
  replyTo?: number;
  /** Whether the listener's device is away while it is said and changed. */
  listenerIsAway?: boolean;
  /** What is done after it was said. */
  changes: readonly Change[];
}

/** A turn of a dialogue in one channel. What is not there yet has not happened. */
export interface Turn {
  readonly text: string;
  /** How long its speaker thinks, in milliseconds. */
  readonly pauseMs: number;
  /** What is done around it. */
  readonly doings: Doings;
  /** The id under which it was sent. */
  clientMessageId?: string;
  /** The id of the message that the server made of it. */
  acknowledgedId?: bigint;
  /** What it says since it was edited. */
  editedText?: string;
  isDeleted?: boolean;
  /** The `channel_sequence` of the last change of it that was accepted. */
  changedSequence?: number;
  /** "👍 user" of each reaction that stands. */
  reactions?: ReadonlySet<string>;
}
