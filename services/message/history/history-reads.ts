import { ConcurrencyLimit } from "../../../mesh/concurrency-limit.ts";
import { SharedReads } from "../../../mesh/shared-reads.ts";
import type { Stream } from "../../../mesh/streams.ts";
import { type CutLogTail, type LogTail, readTail } from "../channel/log-tail.ts";

/** Requests that read at once; each holds a few pages. */
const atOnceMax = 64;
/** Further ones that wait for their turn. */
const waitingMax = 256;
/** The same of one user, all its devices together: so one account can't take every turn. */
const ofUserAtOnceMax = 8;
const ofUserWaitingMax = 56;

/**
 * What reading histories may take of a process. Where the store is slow or away, a page costs a
 * reading of its channel's log: a hundred devices that look at one group then must not keep the
 * process from anything else, nor the store from coming back.
 */
export class HistoryReads {
  private readonly limit = new ConcurrencyLimit({ atOnceMax, waitingMax });
  /** Of users with requests under way or waiting. */
  private readonly users = new Map<string, { limit: ConcurrencyLimit; requests: number }>();
  private readonly tails = new SharedReads<LogTail | CutLogTail>();

  /** Reads for a user when it is its turn: see {@link ConcurrencyLimit.run}. */
  async run<T>(userId: string, read: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const user = this.users.get(userId) ?? { limit: limitOfUser(), requests: 0 };
    this.users.set(userId, user);
    user.requests++;
    try {
      return await user.limit.run(() => this.limit.run(read, signal), signal);
    } finally {
      if (--user.requests === 0) this.users.delete(userId);
    }
  }

  /** See {@link readTail}; one reading for all who ask at once. Nobody may change what it gives. */
  tail(
    channelId: string,
    after: number,
    snapshotLogSequence: number,
    log: Stream,
  ): Promise<LogTail | CutLogTail> {
    const key = `${channelId} ${after} ${snapshotLogSequence}`;
    return this.tails.read(key, () => readTail(channelId, after, snapshotLogSequence, log));
  }
}

function limitOfUser(): ConcurrencyLimit {
  return new ConcurrencyLimit({ atOnceMax: ofUserAtOnceMax, waitingMax: ofUserWaitingMax });
}
