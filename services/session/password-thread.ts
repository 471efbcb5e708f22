import { Worker } from "node:worker_threads";
import type { Options } from "@node-rs/argon2";
import type { PasswordAnswer, PasswordWork } from "./password-thread-worker.ts";

/**
 * A thread that hashes passwords and gives way to the machine's other threads (on Linux: nice 10,
 * a tenth of a core where there is no more). Node's own pool would do it at the priority of the
 * rest, and what waits for its threads, commits to LMDB and signatures, would wait for passwords.
 * Measured with bench/log-in.ts on two cores: 500 messages/s were acknowledged in 31 ms meanwhile
 * (p50), where 1.5 ms is usual. Starts in 50 ms.
 */
export class PasswordThread {
  private readonly worker = new Worker(new URL("./password-thread-worker.ts", import.meta.url));
  private pending: PromiseWithResolvers<PasswordAnswer> | undefined;
  private ended: Error | undefined;

  constructor() {
    this.worker.on("message", (answer: PasswordAnswer) => {
      this.pending!.resolve(answer);
      this.pending = undefined;
    });
    this.worker.on("error", (error: Error) => this.onEnd(error));
    this.worker.on("exit", () => this.onEnd(new Error("the thread has ended")));
  }

  /** It can do no more work. */
  get isEnded(): boolean {
    return this.ended !== undefined;
  }

  /** It has nothing to do. */
  get isFree(): boolean {
    return !this.isEnded && !this.pending;
  }

  /** The text to store for a password. One call at a time, of this or {@link verify}. */
  async hash(password: string, params: Options): Promise<string> {
    return ((await this.do({ password, params })) as { text: string }).text;
  }

  /** Whether a password is the stored one. */
  async verify(stored: string, password: string): Promise<boolean> {
    return ((await this.do({ password, stored })) as { isRight: boolean }).isRight;
  }

  /** Ends it at once, whatever it does. */
  async close(): Promise<void> {
    await this.worker.terminate();
  }

  private async do(work: PasswordWork): Promise<PasswordAnswer> {
    if (this.ended) throw this.ended;
    this.pending = Promise.withResolvers();
    this.worker.postMessage(work);
    const answer = await this.pending.promise;
    if ("failure" in answer) throw new Error(answer.failure);
    return answer;
  }

  private onEnd(error: Error): void {
    this.ended ??= error;
    this.pending?.reject(error);
  }
}
