/**
 * Who follows which subject, and how far each follower has come. Kept small: an edge holds tens of
 * thousands of these, nearly all of them idle.
 */
import type { LiveMessage, Running, Stream } from "./streams.ts";

/** What feeds read from and listen to. */
export interface FeedSource {
  stream: Stream;
  subscribe(subject: string, onMessage: (message: LiveMessage) => void): Promise<Running>;
  /** How often subscribers may have missed something, whatever their subject. */
  interruptions(): number;
  /** Whether a subject that holds nothing gets an empty entry, for its follower to stand on. */
  appendsEmpty: boolean;
}

/** Why a follower can't go on from its position and must rebuild from the history. */
export type ResetReason = "NEW_DEVICE" | "TRIMMED" | "UNKNOWN_EPOCH";

/** A sync token: the last entry that a follower has. */
export interface FeedPosition {
  /** The incarnation of the stream that the sequence belongs to; empty: none yet. */
  epoch: string;
  /** The entry's sequence; 0: none yet. */
  sequence: number;
}

/** One entry on its way to a follower. */
export interface FeedDelivery {
  readonly sequence: number;
  /** What the follower had before: the entry delivered last, or its position at the start. */
  readonly prevSequence: number;
  /** As it is stored, an encoded InboxEntry or LogEntry; perhaps shared: not to be written to. */
  readonly data: Uint8Array;
}

/**
 * Takes what a subject holds. Its methods must not throw, are never called before
 * `SubjectFeeds.follow` returns, and never after `SubjectFeeds.stop`.
 */
export interface Follower {
  /**
   * Takes the next entry. False: this one is taken, but none may follow before
   * `SubjectFeeds.resume`, which reads from the stream what the follower lacks by then.
   */
  deliver(delivery: FeedDelivery): boolean;
  /** All that was stored before the follower began, was reset or resumed has been delivered. */
  caughtUp(sequence: number): void;
  /** Entries that the follower lacks are gone, or it has no position: it goes on after this. */
  reset(reason: ResetReason, sequence: number): void;
  /** Something that is not stored. Those who are paused miss it. */
  event(data: Uint8Array): void;
}

/** What a following is about. */
export const FollowingState = { CATCHING_UP: 0, LIVE: 1, PAUSED: 2, ENDED: 3 } as const;
export type FollowingState = (typeof FollowingState)[keyof typeof FollowingState];

/** One follower of one subject. */
export class Following {
  readonly followed: FollowedSubject;
  readonly follower: Follower;
  /** The last entry that the follower has; 0: it awaits its first reset. */
  position: number;
  state: FollowingState = FollowingState.CATCHING_UP;
  /** The next follower of the same subject. */
  next: Following | undefined;

  constructor(followed: FollowedSubject, follower: Follower, position: number) {
    this.followed = followed;
    this.follower = follower;
    this.position = position;
    this.next = followed.first;
    followed.first = this;
  }

  /** Gives the follower the entry after its position. */
  deliver(delivery: FeedDelivery): void {
    this.position = delivery.sequence;
    const more = this.follower.deliver(delivery);
    if (!more && this.state !== FollowingState.ENDED) this.state = FollowingState.PAUSED;
  }
}

/** A subject that somebody on this process follows, with the one subscription they share. */
export class FollowedSubject {
  readonly subject: string;
  /** The greatest sequence heard live. Says when to read, never what has been stored. */
  heard = 0;
  first: Following | undefined;
  subscription: Running | undefined;
  subscribing: Promise<void> | undefined;

  constructor(subject: string) {
    this.subject = subject;
  }

  /** Drops a follower that has ended; a walk along the list may be standing on it. */
  remove(following: Following): void {
    if (this.first === following) {
      this.first = following.next;
      return;
    }
    for (let each = this.first; each; each = each.next) {
      if (each.next === following) each.next = following.next;
    }
  }
}
