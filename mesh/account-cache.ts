/** What Session says of accounts, kept for a while by those who ask often. */
import { type Clock, sleep } from "./clock.ts";
import type { Logger } from "./logger.ts";
import type { Running, Streams } from "./streams.ts";

/** What a cache needs. */
export interface AccountCacheOptions<Value> {
  /** Asks Session. */
  load(userId: string): Promise<Value>;
  /** How much of {@link AccountCacheOptions.sizeMax} a value takes, besides 1. */
  sizeOf(value: Value): number;
  /** Past it the values that were used longest ago go. */
  sizeMax: number;
  maxAgeMs: number;
  /** How long Session is not asked after a call has failed. Default: 0. */
  pauseMs?: number;
  /** Calls of {@link AccountCacheOptions.load} at once. Default: 64. */
  loadsMax?: number;
  clock: Clock;
}

const loadsMaxDefault = 64;
/** Calls that may be under way or wait; a further one fails. */
const loadsWaitingMax = 10_000;

/** A call of Session. */
interface Load<Value> {
  answer: Promise<Value | undefined>;
  /** The account has changed since. */
  isExpired: boolean;
}

/** What one process knows of accounts. */
export class AccountCache<Value extends object> {
  private readonly options: AccountCacheOptions<Value>;
  /** In the order of use. */
  private readonly cached = new Map<string, { value: Value; endMs: number }>();
  private size = 0;
  private readonly loading = new Map<string, Load<Value>>();
  private underWay = 0;
  private readonly waiting: (() => void)[] = [];
  private askAgainMs = 0;

  constructor(options: AccountCacheOptions<Value>) {
    this.options = options;
  }

  /**
   * What is known of an account and is not known to have changed, however old; what is older than
   * `maxAgeMs` is asked for again meanwhile.
   */
  known(userId: string): Value | undefined {
    const fresh = this.fresh(userId);
    if (fresh !== undefined) return fresh;
    const cached = this.cached.get(userId);
    if (!cached || cached.endMs === Number.NEGATIVE_INFINITY) return undefined;
    void this.get(userId);
    return cached.value;
  }

  /**
   * What is known of an account, at most `maxAgeMs` old; where Session can't be asked what was
   * known last, or undefined.
   */
  async get(userId: string): Promise<Value | undefined> {
    const fresh = this.fresh(userId);
    if (fresh !== undefined) return fresh;
    const known = this.loading.get(userId);
    if (known) return known.answer;
    const isFull = this.underWay + this.waiting.length >= loadsWaitingMax;
    if (isFull || this.options.clock.monotonicMs() < this.askAgainMs) {
      return this.cached.get(userId)?.value;
    }
    const load: Load<Value> = { answer: Promise.resolve(undefined), isExpired: false };
    this.loading.set(userId, load);
    load.answer = this.load(userId, load).finally(() => {
      if (this.loading.get(userId) === load) this.loading.delete(userId);
    });
    return load.answer;
  }

  /** The account has changed: what is known of it serves only as long as Session is away. */
  expire(userId: string): void {
    const cached = this.cached.get(userId);
    if (cached) cached.endMs = Number.NEGATIVE_INFINITY;
    const load = this.loading.get(userId);
    if (!load) return;
    load.isExpired = true;
    this.loading.delete(userId);
  }

  /** What is known of an account and needs no call of Session. */
  private fresh(userId: string): Value | undefined {
    const cached = this.cached.get(userId);
    if (!cached || this.options.clock.monotonicMs() >= cached.endMs) return undefined;
    this.cached.delete(userId);
    this.cached.set(userId, cached);
    return cached.value;
  }

  private async load(userId: string, load: Load<Value>): Promise<Value | undefined> {
    const { clock, maxAgeMs, pauseMs = 0, loadsMax = loadsMaxDefault } = this.options;
    if (this.underWay < loadsMax) this.underWay++;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    const loadedMs = clock.monotonicMs();
    try {
      const value = await this.options.load(userId);
      this.keep(userId, value, load.isExpired ? Number.NEGATIVE_INFINITY : loadedMs + maxAgeMs);
      return value;
    } catch {
      this.askAgainMs = clock.monotonicMs() + pauseMs;
      return this.cached.get(userId)?.value;
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.underWay--;
    }
  }

  private keep(userId: string, value: Value, endMs: number): void {
    const { sizeMax } = this.options;
    // A newer call may have answered before one that the account's change has overtaken.
    const known = this.cached.get(userId);
    if (known && known.endMs > endMs) return;
    this.forget(userId);
    this.cached.set(userId, { value, endMs });
    this.size += this.sizeOf(value);
    for (const oldest of this.cached.keys()) {
      if (this.size <= sizeMax) break;
      this.forget(oldest);
    }
  }

  private forget(userId: string): void {
    const cached = this.cached.get(userId);
    if (!cached) return;
    this.cached.delete(userId);
    this.size -= this.sizeOf(cached.value);
  }

  private sizeOf(value: Value): number {
    return this.options.sizeOf(value) + 1;
  }
}

/**
 * Asks of accounts together that are asked for at once.
 * @param accountsMax to a call
 */
export function loadTogether<Value>(
  loadAll: (userIds: readonly string[]) => Promise<ReadonlyMap<string, Value>>,
  accountsMax: number,
): (userId: string) => Promise<Value | undefined> {
  let gathering: { userIds: string[]; answer: Promise<ReadonlyMap<string, Value>> } | undefined;
  return async (userId) => {
    if (!gathering || gathering.userIds.length === accountsMax) {
      const userIds: string[] = [];
      const answer = Promise.resolve().then(() => {
        if (gathering?.userIds === userIds) gathering = undefined;
        return loadAll(userIds);
      });
      gathering = { userIds, answer };
    }
    gathering.userIds.push(userId);
    return (await gathering.answer).get(userId);
  };
}

/** The pause before a subscription that failed is tried again. */
const retryMs = 1_000;

/**
 * Expires what a cache holds of accounts that change. As long as the bus is away, the cache's
 * greatest age alone keeps it fresh.
 */
export function followAccounts(
  cache: { expire(userId: string): void },
  {
    streams,
    clock,
    log,
  }: { streams: Pick<Streams, "subscribeAccounts">; clock: Clock; log: Logger },
): Running {
  const ended = new AbortController();
  let running: Running | undefined;
  const started = (async () => {
    while (!ended.signal.aborted) {
      try {
        running = await streams.subscribeAccounts((userId) => cache.expire(userId));
        return;
      } catch (err) {
        log.warn({ event: "accounts_not_followed", err });
        await sleep(clock, retryMs, ended.signal).catch(() => {});
      }
    }
  })();
  return {
    async stop() {
      ended.abort();
      await started;
      await running?.stop();
    },
  };
}
