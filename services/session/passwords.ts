import { randomBytes } from "node:crypto";
import { type Options, parseOptions } from "@node-rs/argon2";
import { type Clock, sleep } from "../../mesh/clock.ts";
import { ConcurrencyLimit } from "../../mesh/concurrency-limit.ts";
import { unavailable } from "../../mesh/errors.ts";
import { passwordLengthMax } from "./fields.ts";
import { PasswordProcess } from "./password-process.ts";
import type { PasswordPriority } from "./password-worker.ts";
import type { SessionConfig } from "./session-config.ts";

/** How long a password waits for an idle core before it takes its share of a busy one. */
const idleWaitMs = 100;

/**
 * Hashes and verifies passwords with argon2id, in processes of their own: 15 ms each at 19 MiB and
 * two passes. Few at once, as each takes a core and that memory, and the rest in a bounded queue.
 * Those who talk hardly wait for it: with log-ins all the time on two busy cores, 500 messages/s
 * were acknowledged in 10 ms (p50, bench/log-in.ts; 3 to 6 ms without), and in 20 ms by processes of
 * low priority alone, as Linux lets such a one end its slice before one that wakes up.
 */
export class Passwords {
  private readonly params: Options;
  private readonly clock: Clock;
  private readonly limit: ConcurrencyLimit;
  private readonly atOnceMax: number;
  /** Verified where there is no user: it takes as long, and no password is right. */
  private readonly decoy: string;
  /** As many as have been needed at once, of each priority. */
  private processes: PasswordProcess[] = [];
  private isClosed = false;

  constructor(config: SessionConfig, clock: Clock) {
    const { passwordMemoryKib, passwordPasses } = config;
    this.clock = clock;
    this.atOnceMax = config.passwordsAtOnceMax;
    this.params = { memoryCost: passwordMemoryKib, timeCost: passwordPasses, parallelism: 1 };
    this.limit = new ConcurrencyLimit({
      atOnceMax: this.atOnceMax,
      waitingMax: config.passwordsQueuedMax,
    });
    const [salt, digest] = [16, 32].map((length) =>
      randomBytes(length).toString("base64").replaceAll("=", ""),
    );
    this.decoy = `$argon2id$v=19$m=${passwordMemoryKib},t=${passwordPasses},p=1$${salt}$${digest}`;
  }

  /**
   * The text to store for a password.
   * @throws DomainError OVERLOADED; the signal's reason where it aborts before the work begins.
   */
  hash(password: string, signal: AbortSignal): Promise<string> {
    return this.run((child) => child.hash(normal(password), this.params), signal);
  }

  /**
   * Whether the password is the stored one; with nothing stored it takes as long to say no.
   * @throws as `hash`.
   */
  async verify(
    stored: string | undefined,
    password: string,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (password.length > 2 * passwordLengthMax) return false;
    const text = stored ?? this.decoy;
    return this.run((child) => child.verify(text, normal(password)), signal);
  }

  /**
   * A new text to store for a right password, where the stored one was made with other parameters
   * than today's; undefined: it may stay, or must until there is less to do.
   */
  async renewed(
    stored: string,
    password: string,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { memoryCost, timeCost, parallelism } = parseOptions(stored);
    const { params } = this;
    const isToday =
      memoryCost === params.memoryCost &&
      timeCost === params.timeCost &&
      parallelism === params.parallelism;
    return isToday ? undefined : this.hash(password, signal).catch(() => undefined);
  }

  /** Ends the processes, whatever they do; no more are started. */
  close(): void {
    this.isClosed = true;
    for (const child of this.processes) child.close();
  }

  /** Does the work when it is its turn, on an idle core or, where none is soon, on a busy one. */
  private run<T>(work: (child: PasswordProcess) => Promise<T>, signal: AbortSignal): Promise<T> {
    return this.limit.run(async () => {
      if (this.isClosed) throw unavailable("the service ends");
      const idle = this.freeProcess("idle");
      if (!idle) return work(this.freeProcess("low")!);
      const done = new AbortController();
      const answer = work(idle);
      const isLate = await Promise.race([
        answer.then(() => false),
        sleep(this.clock, idleWaitMs, done.signal).then(() => true),
      ]).finally(() => done.abort());
      return isLate ? work(this.freeProcess("low")!) : answer;
    }, signal);
  }

  /** Undefined, for idle ones alone: each is at work still on what another has done meanwhile. */
  private freeProcess(priority: PasswordPriority): PasswordProcess | undefined {
    this.processes = this.processes.filter(({ isEnded }) => !isEnded);
    const ofPriority = this.processes.filter((child) => child.priority === priority);
    const free = ofPriority.find(({ isFree }) => isFree);
    if (free || ofPriority.length === this.atOnceMax) return free;
    const added = new PasswordProcess(priority);
    this.processes.push(added);
    return added;
  }
}

/** One form for what looks alike, whatever keyboard it comes from (RFC 8265, section 4.2). */
function normal(password: string): string {
  return password.normalize("NFC");
}
