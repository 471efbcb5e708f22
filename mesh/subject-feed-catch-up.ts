/**
 * Brings followers from their positions to the end of their subjects, a bounded number at a time.
 *
 * What makes it safe on ports that promise little: an entry is delivered only where a read shows
 * it right after the follower's own last entry (reads are inclusive, and a stale read lacks
 * entries only at the end). Where that entry is gone, so may be others after it: reset. Every
 * position is therefore an entry's; an inbox that has none gets an empty one. (In
 * a log that holds nothing the position is 0, which its next entry names as the one before.)
 */
import type { Clock } from "./clock.ts";
import { type LiveMessage, StreamUnavailable, WrongLastSequence } from "./streams.ts";
import {
  type FeedSource,
  type FollowedSubject,
  type Following,
  FollowingState,
  type ResetReason,
} from "./subject-feed-following.ts";

/** How often a failing stream is asked again: after this pause, doubled each time up to the max. */
const pauseMsMin = 250;
const pauseMsMax = 8_000;

/**
 * Entries to a read. The bytes keep the port's default of 1 MiB: more than the largest entry, so
 * that a page that begins with the follower's own entry always holds the next one too.
 */
const pageEntriesMax = 256;

/** What the catch-ups need of the feeds. */
export interface CatchUpsOptions {
  source: FeedSource;
  clock: Clock;
  /** At most this many at once; the others wait their turn. */
  catchUpsMax: number;
  /** What every subscription calls. */
  onMessage(message: LiveMessage): void;
  /** The follower has everything; from now on it is given what comes live. */
  onLive(following: Following): void;
  /** A read or a subscription failed and will be tried again after a pause. */
  onFailure(error: unknown): void;
}

/** One follower's way to the end of its subject. */
interface CatchUp {
  readonly following: Following;
  /** Set: the follower must be reset before anything else. */
  reset: ResetReason | undefined;
  /** The entry to reach; undefined: the leader has not been asked yet. */
  target: number | undefined;
  /** Reads ask the leader, because another was found to lag. */
  fromLeader: boolean;
  /** The follower is told when it has caught up; the repair of a gap goes unmentioned. */
  announced: boolean;
  /** Failures since the last success. */
  failures: number;
  /** The next in the queue. */
  next: CatchUp | undefined;
}

const newCatchUp = {
  reset: undefined,
  target: undefined,
  fromLeader: false,
  announced: false,
  failures: 0,
  next: undefined,
};

/** The queue of catch-ups. It holds at most one for each follower. */
export class CatchUps {
  private readonly options: CatchUpsOptions;
  private first: CatchUp | undefined;
  private last: CatchUp | undefined;
  private running = 0;

  constructor(options: CatchUpsOptions) {
    this.options = options;
  }

  /** Brings a follower to the end of what is stored now, after a reset if there is a reason. */
  start(following: Following, reset?: ResetReason): void {
    following.state = FollowingState.CATCHING_UP;
    this.enqueue({ ...newCatchUp, following, reset, announced: true });
  }

  /** Gives a live follower what it lacks up to `target`; undefined: what the leader knows of. */
  repair(following: Following, target: number | undefined): void {
    following.state = FollowingState.CATCHING_UP;
    this.enqueue({ ...newCatchUp, following, target });
  }

  private enqueue(catchUp: CatchUp): void {
    if (this.last) this.last.next = catchUp;
    else this.first = catchUp;
    this.last = catchUp;
    this.runNext();
  }

  private runNext(): void {
    while (this.first && this.running < this.options.catchUpsMax) {
      const catchUp = this.first;
      this.first = catchUp.next;
      if (!this.first) this.last = undefined;
      catchUp.next = undefined;
      this.running++;
      void this.run(catchUp);
    }
  }

  private async run(catchUp: CatchUp): Promise<void> {
    try {
      await this.toTheEnd(catchUp);
    } catch (error) {
      this.options.onFailure(error);
      const pauseMs = Math.min(pauseMsMax, pauseMsMin * 2 ** catchUp.failures++);
      this.options.clock.setTimer(pauseMs, () => this.enqueue(catchUp));
    }
    this.running--;
    this.runNext();
  }

  private async toTheEnd(catchUp: CatchUp): Promise<void> {
    const { following } = catchUp;
    const { followed } = following;
    while (following.state === FollowingState.CATCHING_UP) {
      if (!followed.subscription) await this.subscribe(followed);
      else if (catchUp.reset) await this.reset(catchUp, catchUp.reset);
      else if (catchUp.target === undefined) await this.findTarget(catchUp);
      else if (following.position < Math.max(catchUp.target, followed.heard)) {
        await this.deliverPage(catchUp);
      } else {
        following.state = FollowingState.LIVE;
        if (catchUp.announced) following.follower.caughtUp(following.position);
        this.options.onLive(following);
      }
      catchUp.failures = 0;
    }
  }

  /** Everything stored after this is heard, or else a gap or a tail check shows it. */
  private subscribe(followed: FollowedSubject): Promise<void> {
    followed.subscribing ??= this.openSubscription(followed);
    return followed.subscribing;
  }

  private async openSubscription(followed: FollowedSubject): Promise<void> {
    const { source, onMessage } = this.options;
    try {
      const subscription = await source.subscribe(followed.subject, onMessage);
      if (followed.first) followed.subscription = subscription;
      else await subscription.stop();
    } finally {
      followed.subscribing = undefined;
    }
  }

  private async findTarget(catchUp: CatchUp): Promise<void> {
    const { following } = catchUp;
    const last = await this.lastSequence(following.followed);
    // The leader shows nothing as new as what the follower has: its own entry is gone.
    if (last < following.position) catchUp.reset = "TRIMMED";
    else catchUp.target = last;
  }

  private async reset(catchUp: CatchUp, reason: ResetReason): Promise<void> {
    const { following } = catchUp;
    const { followed } = following;
    const last = (await this.lastSequence(followed)) || (await this.appendEmpty(followed));
    if (following.state !== FollowingState.CATCHING_UP) return;
    following.position = last;
    catchUp.reset = undefined;
    catchUp.target = last;
    catchUp.announced = true;
    following.follower.reset(reason, last);
  }

  private async deliverPage(catchUp: CatchUp): Promise<void> {
    const { following, fromLeader } = catchUp;
    const fromSequence = following.position;
    const wanted = Math.max(catchUp.target!, following.followed.heard);
    const page = await this.options.source.stream.read(following.followed.subject, {
      fromSequence: Math.max(1, fromSequence),
      limit: pageEntriesMax,
      fromLeader,
    });
    const first = page.entries[0]?.sequence;
    if (first === undefined ? fromLeader : fromSequence > 0 && first > fromSequence) {
      catchUp.reset = "TRIMMED";
      return;
    }
    for (const { sequence, data } of page.entries) {
      if (following.state !== FollowingState.CATCHING_UP) return;
      if (sequence <= following.position) continue;
      following.deliver({ sequence, prevSequence: following.position, data });
    }
    if (page.more || following.position >= wanted) return;
    // A lagging replica answered, or one that does not show yet what was heard live.
    if (fromLeader)
      throw new StreamUnavailable(`${following.followed.subject}: no entry ${wanted} yet`);
    catchUp.fromLeader = true;
  }

  private async lastSequence(followed: FollowedSubject): Promise<number> {
    const last = await this.options.source.stream.last(followed.subject, { fromLeader: true });
    return last?.sequence ?? 0;
  }

  private async appendEmpty(followed: FollowedSubject): Promise<number> {
    const { stream, appendsEmpty } = this.options.source;
    if (!appendsEmpty) return 0;
    const first = { expectedLastSequence: 0 };
    return stream.append(followed.subject, new Uint8Array(0), first).catch((error: unknown) => {
      // A message was faster.
      if (error instanceof WrongLastSequence) return this.lastSequence(followed);
      throw error;
    });
  }
}
