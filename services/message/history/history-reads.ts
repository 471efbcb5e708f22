import { BulkheadRejectedError, bulkhead } from "cockatiel";
import { DomainError } from "../../../mesh/errors.ts";
import { SharedReads } from "../../../mesh/shared-reads.ts";
import type { Stream } from "../../../mesh/streams.ts";
import { type CutLogTail, type LogTail, readTail } from "../channel/log-tail.ts";

/** Requests that read at once; each holds a few pages. */
const readsMax = 64;
/** Further ones that wait for their turn. */
const waitingMax = 256;

/**
 * What reading histories may take of a process. Where the store is slow or away, a page costs a
 * reading of its channel's log: a hundred devices that look at one group then must not keep the
 * process from anything else, nor the store from coming back.
 */
export class HistoryReads {
  private readonly limit = bulkhead(readsMax, waitingMax);
  private readonly tails = new SharedReads<LogTail | CutLogTail>();

  /**
   * Reads when it is this request's turn.
   * @param signal the caller's, which may have gone before its turn comes
   * @throws DomainError OVERLOADED; the signal's reason
   */
  async run<T>(read: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      return await this.limit.execute(read, signal);
    } catch (thrown) {
      signal?.throwIfAborted();
      if (!(thrown instanceof BulkheadRejectedError)) throw thrown;
      const text = `${readsMax} reads are under way and ${waitingMax} wait`;
      throw new DomainError("OVERLOADED", text, { retryAfterMs: 1_000 });
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
