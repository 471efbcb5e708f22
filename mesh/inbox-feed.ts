/**
 * Catch-up plus live for users' inboxes: what the edge gives to devices and Message's Follow to
 * gRPC callers. A follower receives every entry after its position once and in order, or is told
 * that it can't (reset); DESIGN section 4, points 9 and 11.
 *
 * The live bus only says when something has come: an entry is passed on if it names the
 * follower's last entry as the one before it, anything else makes the follower catch up from the
 * stream. Nothing is buffered here, neither during a catch-up nor for a follower that can't take
 * more. An entry whose live copy was lost with no other after it is found by comparing tails.
 */
import type { Clock, Timer } from "./clock.ts";
import { CatchUps } from "./inbox-feed-catch-up.ts";
import {
  type Follower,
  Following,
  FollowingState,
  Inbox,
  type InboxPosition,
  type ResetReason,
} from "./inbox-feed-following.ts";
import { type Logger, silentLogger } from "./logger.ts";
import type { Metrics } from "./metrics.ts";
import { inboxSubject, type LiveMessage, type Streams, StreamUnavailable } from "./streams.ts";

/** What the feeds work with. */
export interface InboxFeedsOptions {
  streams: Streams;
  clock: Clock;
  log?: Logger;
  metrics?: Metrics;
  /** Catch-ups at once, each with at most one read under way; the others queue. Default: 64. */
  catchUpsMax?: number;
}

/** All inboxes that are followed from this process. */
export class InboxFeeds {
  private readonly streams: Streams;
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly counters: Counters | undefined;
  private readonly catchUps: CatchUps;
  private readonly inboxes = new Map<string, Inbox>();
  private round: Iterator<Inbox> | undefined;
  private wentLive = new Set<Inbox>();
  private wentLiveBefore = new Set<Inbox>();
  private checking = false;
  private timer: Timer | undefined;

  constructor(options: InboxFeedsOptions) {
    this.streams = options.streams;
    this.clock = options.clock;
    this.log = options.log ?? silentLogger;
    this.counters = options.metrics && createCounters(options.metrics);
    this.catchUps = new CatchUps({
      streams: options.streams,
      clock: options.clock,
      catchUpsMax: options.catchUpsMax ?? 64,
      onMessage: (message) => this.onMessage(message),
      onLive: (following) => void this.wentLive.add(following.inbox),
      onFailure: (error) => this.onFailure(error),
    });
  }

  /** Why nobody can go on from this position of the user's inbox; undefined: perhaps one can. */
  resetReason(userId: string, position: InboxPosition): ResetReason | undefined {
    if (position.epoch === "" || position.sequence === 0) return "NEW_DEVICE";
    return position.epoch === this.epoch(userId) ? undefined : "UNKNOWN_EPOCH";
  }

  /** The epoch that positions in the user's inbox belong to. */
  epoch(userId: string): string {
    return this.streams.inbox.epoch(inboxSubject(userId));
  }

  /**
   * Gives the follower what comes after the position. Where {@link resetReason} has one, the
   * follower is reset to the inbox's present end before anything else. Reads that fail are tried
   * again for as long as it follows.
   */
  follow(userId: string, position: InboxPosition, follower: Follower): Following {
    const key = inboxSubject(userId);
    let inbox = this.inboxes.get(key);
    if (!inbox) {
      inbox = new Inbox(userId);
      this.inboxes.set(key, inbox);
      this.timer ??= this.clock.setTimer(tickMs, this.tick);
    }
    const reason = this.resetReason(userId, position);
    const following = new Following(inbox, follower, reason ? 0 : position.sequence);
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
    const { inbox } = following;
    inbox.remove(following);
    if (inbox.first) return;
    this.inboxes.delete(inboxSubject(inbox.userId));
    this.wentLive.delete(inbox);
    inbox.subscription?.stop().catch((error) => this.onFailure(error));
  }

  /** Ends all followings. */
  close(): void {
    this.timer?.cancel();
    for (const inbox of this.inboxes.values()) {
      for (let each = inbox.first; each; each = each.next) this.stop(each);
    }
  }

  private onMessage(message: LiveMessage): void {
    const inbox = this.inboxes.get(message.subject);
    if (!inbox) return;
    if (message.sequence > inbox.heard) inbox.heard = message.sequence;
    for (let each = inbox.first; each; each = each.next) {
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
    this.log[level]({ event: "inbox_read_failed", err: error });
  }

  /**
   * Compares the tails of those who went live a second or two ago (interest in a subject takes
   * time to spread over a cluster of brokers) and of one part of all.
   */
  private readonly tick = (): void => {
    this.timer = undefined;
    if (this.inboxes.size === 0) return;
    this.timer = this.clock.setTimer(tickMs, this.tick);
    if (this.checking) return;
    const due = this.wentLiveBefore;
    this.wentLiveBefore = this.wentLive;
    this.wentLive = new Set();
    for (let n = Math.ceil(this.inboxes.size / roundTicks); n > 0; n--) due.add(this.nextOfRound());
    void this.compareTails([...due]);
  };

  private nextOfRound(): Inbox {
    const next = this.round?.next();
    if (next && !next.done) return next.value;
    this.round = this.inboxes.values();
    return this.round.next().value!;
  }

  private async compareTails(inboxes: Inbox[]): Promise<void> {
    this.checking = true;
    try {
      for (let from = 0; from < inboxes.length; from += tailsMax) {
        const some = inboxes.slice(from, from + tailsMax);
        const subjects = some.map((inbox) => inboxSubject(inbox.userId));
        const tails = await this.streams.inbox.lastSequences(subjects);
        some.forEach((inbox, i) => {
          this.compareTail(inbox, tails[i]!);
        });
      }
    } catch (error) {
      this.onFailure(error);
    }
    this.checking = false;
  }

  private compareTail(inbox: Inbox, tail: number): void {
    for (let each = inbox.first; each; each = each.next) {
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

function createCounters(metrics: Metrics) {
  return {
    repairs: metrics.counter(
      "parley_inbox_repairs_total",
      "Entries missed live and read from the stream: seen by a gap, or only by the tail.",
      ["found"],
    ),
    failures: metrics.counter(
      "parley_inbox_failures_total",
      "Failed reads, subscriptions and comparisons of tails of inboxes.",
    ),
  };
}
