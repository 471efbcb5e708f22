import { type ChildProcess, fork } from "node:child_process";
import type { Options } from "@node-rs/argon2";
import type { PasswordAnswer, PasswordPriority, PasswordWork } from "./password-worker.ts";

/**
 * A process that hashes passwords and gives way to all others. Node's own pool would do it at the
 * priority of the rest, and what waits for its threads, commits to LMDB and signatures, would wait
 * for passwords. A thread that gives way can be stopped while it holds a lock of the whole process,
 * as that of its memory map: on a busy machine all stood still for 5 s. Starts in 0.1 s, takes 24 MB.
 */
export class PasswordProcess {
  readonly priority: PasswordPriority;
  private readonly child: ChildProcess;
  private pending: PromiseWithResolvers<PasswordAnswer> | undefined;
  private ended: Error | undefined;

  constructor(priority: PasswordPriority) {
    this.priority = priority;
    const file = new URL("./password-worker.ts", import.meta.url);
    // It needs nothing of the environment, which has secrets.
    this.child = fork(file, [priority], { env: {}, execArgv: [] });
    this.child.on("message", (answer: PasswordAnswer) => {
      this.pending!.resolve(answer);
      this.pending = undefined;
    });
    this.child.on("error", (error) => this.onEnd(error));
    this.child.on("exit", () => this.onEnd(new Error("the process has ended")));
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

  /** Ends it, whatever it does. On a busy machine it is gone when its turn comes: nobody waits. */
  close(): void {
    this.child.kill("SIGKILL");
    this.child.unref();
    this.child.channel?.unref();
    this.onEnd(new Error("the process has been ended"));
  }

  private async do(work: PasswordWork): Promise<PasswordAnswer> {
    if (this.ended) throw this.ended;
    // Throws in a process that could not be started, of which nobody knows yet.
    this.child.send(work);
    this.pending = Promise.withResolvers();
    const answer = await this.pending.promise;
    if ("failure" in answer) throw new Error(answer.failure);
    return answer;
  }

  private onEnd(error: Error): void {
    this.ended ??= error;
    this.pending?.reject(error);
  }
}
