/**
 * Catch-up plus live for the subjects of a stream: inboxes, which the edge gives to devices and
 * Message's Follow to gRPC callers, and the logs of LIVE channels. A follower receives every entry
 * after its position once and in order, or is told that it can't (reset); DESIGN section 4, points
 * 9 and 11.
 *
 * The live bus only says when something has come: an entry is passed on if it names the
 * follower's last entry as the one before it, anything else makes the follower catch up from the
 * stream. Nothing is buffered here, neither during a catch-up nor for a follower that can't take
 * more. An entry whose live copy was lost with no other after it is found by comparing tails.
 */
import type { Clock, Timer } from "./clock.ts";
import { type Logger, silentLogger } from "./logger.ts";
import type { Metrics } from "./metrics.ts";
import { type LiveMessage, type Stream, StreamUnavailable } from "./streams.ts";
import { CatchUps } from "./subject-feed-catch-up.ts";
import {
  type FeedPosition,
  type FeedSource,
  FollowedSubject,
  type Follower,
  Following,
  FollowingState,
  type ResetReason,
} from "./subject-feed-following.ts";

/** What the feeds work with. */
export interface SubjectFeedsOptions {
  source: FeedSource;
  clock: Clock;
  log?: Logger;
  metrics?: Metrics;
  /** Catch-ups at once, each with at most one read under way; the others queue. Default: 64. */
  catchUpsMax?: number;
}

/** All subjects that are followed from this process. */
export class SubjectFeeds {
  private readonly source: FeedSource;
  private readonly stream: Stream;
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly counters: Counters | undefined;
  private readonly catchUps: CatchUps;
  private readonly followed = new Map<string, FollowedSubject>();
  private round: Iterator<FollowedSubject> | undefined;
  private wentLive = new Set<FollowedSubject>();
  private wentLiveBefore = new Set<FollowedSubject>();
  private checking = false;
  private interruptions: number;
  private timer: Timer | undefined;

  constructor(options: SubjectFeedsOptions) {
    this.source = options.source;
    this.stream = options.source.stream;
    this.interruptions = options.source.interruptions();
    this.clock = options.clock;
    this.log = options.log ?? silentLogger;
    this.counters = options.metrics && createCounters(options.metrics, this.stream.name);
    this.catchUps = new CatchUps({
      source: options.source,
      clock: options.clock,
      catchUpsMax: options.catchUpsMax ?? 64,
      onMessage: (message) => this.onMessage(message),
      onLive: (following) => void this.wentLive.add(following.followed),
      onFailure: (error) => this.onFailure(error),
    });
  }

  /** Why nobody can go on from this position of the subject; undefined: perhaps one can. */
  resetReason(subject: string, position: FeedPosition): ResetReason | undefined {
    if (position.epoch === "" || position.sequence === 0) return "NEW_DEVICE";
    return position.epoch === this.epoch(subject) ? undefined : "UNKNOWN_EPOCH";
  }

  /** The epoch that positions in the subject belong to. */
  epoch(subject: string): string {
    return this.stream.epoch(subject);
  }

  /**
   * Gives the follower what comes after the position. Where {@link resetReason} has one, the
   * follower is reset to the subject's present end before anything else. Reads that fail are tried
   * again for as long as it follows.
   */
  follow(subject: string, position: FeedPosition, follower: Follower): Following {
    let followed = this.followed.get(subject);
    if (!followed) {
      followed = new FollowedSubject(subject);
      this.followed.set(subject, followed);
      this.timer ??= this.clock.setTimer(tickMs, this.tick);
    }
    const reason = this.resetReason(subject, position);
    const following = new Following(followed, follower, reason ? 0 : position.sequence);
    this.catchUps.start(following, reason);
    return following;
  }

  /** The follower takes entries again; what it lacks is read from the stream. */
  resume(following: Following): void {
    if (following.state === FollowingState.PAUSED) this.catchUps.start(following);
  }

  /** Nothing more reaches the follower. */
  stop(following: Following): void {
    if (following.state === FollowingState.ENDED) return;
    following.state = FollowingState.ENDED;
    const { followed } = following;
    followed.remove(following);
    if (followed.first) return;
    this.followed.delete(followed.subject);
    this.wentLive.delete(followed);
    followed.subscription?.stop().catch((error) => this.onFailure(error));
  }

  /** Ends all followings. */
  close(): void {
    this.timer?.cancel();
    for (const followed of this.followed.values()) {
      for (let each = followed.first; each; each = each.next) this.stop(each);
    }
  }

  private onMessage(message: LiveMessage): void {
    const followed = this.followed.get(message.subject);
    if (!followed) return;
    if (message.sequence > followed.heard) followed.heard = message.sequence;
    for (let each = followed.first; each; each = each.next) {
      if (message.sequence === 0) {
        if (each.state <= FollowingState.LIVE) each.follower.event(message.data);
      } else if (each.state === FollowingState.LIVE && message.sequence > each.position) {
        if (message.prevSequence === each.position) each.deliver(message);
        else this.repair(each, message.sequence, "gap");
      }
    }
  }

  private repair(following: Following, target: number, found: "gap" | "tail"): void {
    this.counters?.repairs.inc({ found });
    this.catchUps.repair(following, target);
  }

  private onFailure(error: unknown): void {
    this.counters?.failures.inc();
    const level = error instanceof StreamUnavailable ? "debug" : "error";
    this.log[level]({ event: `${this.stream.name}_read_failed`, err: error });
  }

  /**
   * Compares the tails of those who went live a second or two ago (interest in a subject takes
   * time to spread over a cluster of brokers) and of one part of all; of all after an interruption.
   */
  private readonly tick = (): void => {
    this.timer = undefined;
    if (this.followed.size === 0) return;
    this.timer = this.clock.setTimer(tickMs, this.tick);
    if (this.checking) return;
    const interruptions = this.source.interruptions();
    if (interruptions !== this.interruptions) this.wentLive = new Set(this.followed.values());
    this.interruptions = interruptions;
    const due = this.wentLiveBefore;
    this.wentLiveBefore = this.wentLive;
    this.wentLive = new Set();
    for (let n = Math.ceil(this.followed.size / roundTicks); n > 0; n--)
      due.add(this.nextOfRound());
    void this.compareTails([...due]);
  };

  private nextOfRound(): FollowedSubject {
    const next = this.round?.next();
    if (next && !next.done) return next.value;
    this.round = this.followed.values();
    return this.round.next().value!;
  }

  private async compareTails(followed: FollowedSubject[]): Promise<void> {
    this.checking = true;
    try {
      for (let from = 0; from < followed.length; from += tailsMax) {
        const some = followed.slice(from, from + tailsMax);
        const subjects = some.map(({ subject }) => subject);
        const tails = await this.stream.lastSequences(subjects);
        some.forEach((each, i) => {
          this.compareTail(each, tails[i]!);
        });
      }
    } catch (error) {
      this.onFailure(error);
    }
    this.checking = false;
  }

  private compareTail(followed: FollowedSubject, tail: number): void {
    for (let each = followed.first; each; each = each.next) {
      if (each.state !== FollowingState.LIVE || each.position === tail) continue;
      // A smaller tail is a stale one, or everything was trimmed: only the leader knows.
      if (tail < each.position) this.catchUps.repair(each, undefined);
      else this.repair(each, tail, "tail");
    }
  }
}

/** How often some tails are compared; everybody's turn comes once in `roundTicks`. */
const tickMs = 1_000;
const roundTicks = 30;

/** Subjects to one request for tails: the port's limit. */
const tailsMax = 1_024;

type Counters = ReturnType<typeof createCounters>;

function createCounters(metrics: Metrics, stream: string) {
  return {
    repairs: metrics.counter(
      `parley_${stream}_repairs_total`,
      "Entries missed live and read from the stream: seen by a gap, or only by the tail.",
      ["found"],
    ),
    failures: metrics.counter(
      `parley_${stream}_failures_total`,
      "Failed reads, subscriptions and comparisons of tails.",
    ),
  };
}
