import { randomBytes } from "node:crypto";
import { type Options, parseOptions } from "@node-rs/argon2";
import { ConcurrencyLimit } from "../../mesh/concurrency-limit.ts";
import { passwordLengthMax } from "./fields.ts";
import { PasswordThread } from "./password-thread.ts";
import type { SessionConfig } from "./session-config.ts";

/**
 * Hashes and verifies passwords with argon2id, in threads of their own: 15 ms each at 19 MiB and
 * two passes. Few at once, as each takes a core and that memory, and the rest in a bounded queue.
 */
export class Passwords {
  private readonly params: Options;
  private readonly limit: ConcurrencyLimit;
  /** Verified where there is no user: it takes as long, and no password is right. */
  private readonly decoy: string;
  /** As many as have been needed at once. */
  private threads: PasswordThread[] = [];

  constructor(config: SessionConfig) {
    const { passwordMemoryKib, passwordPasses } = config;
    this.params = { memoryCost: passwordMemoryKib, timeCost: passwordPasses, parallelism: 1 };
    this.limit = new ConcurrencyLimit({
      atOnceMax: config.passwordsAtOnceMax,
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
    return this.limit.run(() => this.freeThread().hash(normal(password), this.params), signal);
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
    return this.limit.run(() => this.freeThread().verify(text, normal(password)), signal);
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

  /** Ends the threads, whatever they do. */
  async close(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.close()));
  }

  private freeThread(): PasswordThread {
    const free = this.threads.find(({ isFree }) => isFree);
    if (free) return free;
    const added = new PasswordThread();
    this.threads = [...this.threads.filter(({ isEnded }) => !isEnded), added];
    return added;
  }
}

/** One form for what looks alike, whatever keyboard it comes from (RFC 8265, section 4.2). */
function normal(password: string): string {
  return password.normalize("NFC");
}
