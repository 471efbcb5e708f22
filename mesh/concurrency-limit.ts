import { BulkheadRejectedError, bulkhead } from "cockatiel";
import { DomainError } from "./errors.ts";

/** Lets so many pieces of work of a kind run at once; further ones wait, and past that are refused. */
export class ConcurrencyLimit {
  private readonly bulkhead;
  private readonly refusal: string;

  constructor({ atOnceMax, waitingMax }: { atOnceMax: number; waitingMax: number }) {
    this.bulkhead = bulkhead(atOnceMax, waitingMax);
    this.refusal = `${atOnceMax} such calls are under way and ${waitingMax} wait`;
  }

  /**
   * Does the work when it is its turn.
   * @param signal the caller's, which may have gone before that
   * @throws DomainError OVERLOADED; the signal's reason
   */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      return await this.bulkhead.execute(work, signal);
    } catch (thrown) {
      signal?.throwIfAborted();
      if (!(thrown instanceof BulkheadRejectedError)) throw thrown;
      throw new DomainError("OVERLOADED", this.refusal, { retryAfterMs: 1_000 });
    }
  }
}
