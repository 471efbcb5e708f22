import { ConcurrencyLimit } from "../../../mesh/concurrency-limit.ts";
import { SharedReads } from "../../../mesh/shared-reads.ts";
import type { Stream } from "../../../mesh/streams.ts";
import { type CutLogTail, type LogTail, readTail } from "../channel/log-tail.ts";

/** Requests that read at once; each holds a few pages. */
const atOnceMax = 64;
/** Further ones that wait for their turn. */
const waitingMax = 256;

/**
 * What reading histories may take of a process. Where the store is slow or away, a page costs a
 * reading of its channel's log: a hundred devices that look at one group then must not keep the
 * process from anything else, nor the store from coming back.
 */
export class HistoryReads {
  private readonly limit = new ConcurrencyLimit({ atOnceMax, waitingMax });
  private readonly tails = new SharedReads<LogTail | CutLogTail>();

  /** See {@link ConcurrencyLimit.run}. */
  run<T>(read: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.limit.run(read, signal);
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
