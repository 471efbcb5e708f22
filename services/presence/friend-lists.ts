/** Users' friends and who may see their presence, from Session, kept for a while. */
import { Audience } from "../../gen/parley/session/v1/session_pb.js";
import type { Clock } from "../../mesh/clock.ts";
import { Code, RpcError } from "../../mesh/errors.ts";

/** What Session says of a user. */
export interface FriendList {
  readonly userIds: readonly string[];
  readonly presenceAudience: Audience;
}

/** What the lists need. */
export interface FriendListsOptions {
  /** SessionService.ListFriendIds. */
  load(userId: string): Promise<FriendList>;
  maxAgeMs: number;
  clock: Clock;
}

/** Friends in all cached lists, plus one for each list: about 40 MB. The oldest used goes first. */
const cachedIdsMax = 500_000;
/** Calls of Session at once. */
const loadsMax = 64;
/** Calls that may be under way or wait; a further one fails. */
const loadsWaitingMax = 10_000;

/** The friend lists that one instance needs. */
export class FriendLists {
  private readonly options: FriendListsOptions;
  /** In the order of use. */
  private readonly cached = new Map<string, { list: FriendList; loadedMs: number }>();
  private cachedIds = 0;
  private readonly loading = new Map<string, Promise<FriendList | undefined>>();
  private underWay = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(options: FriendListsOptions) {
    this.options = options;
  }

  /**
   * A user's list, at most `maxAgeMs` old; where Session can't be asked the last one known, or
   * undefined. A user that Session does not know has no friends and nothing to hide.
   */
  async get(userId: string): Promise<FriendList | undefined> {
    const { clock, maxAgeMs } = this.options;
    const cached = this.cached.get(userId);
    if (cached && clock.monotonicMs() < cached.loadedMs + maxAgeMs) {
      this.cached.delete(userId);
      this.cached.set(userId, cached);
      return cached.list;
    }
    const known = this.loading.get(userId);
    if (known) return known;
    if (this.loading.size >= loadsWaitingMax) return cached?.list;
    const loading = this.load(userId).finally(() => this.loading.delete(userId));
    this.loading.set(userId, loading);
    return loading;
  }

  private async load(userId: string): Promise<FriendList | undefined> {
    if (this.underWay < loadsMax) this.underWay++;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    const loadedMs = this.options.clock.monotonicMs();
    try {
      const list = await this.options.load(userId).catch(unlessUnknown);
      this.keep(userId, list, loadedMs);
      return list;
    } catch {
      return this.cached.get(userId)?.list;
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.underWay--;
    }
  }

  private keep(userId: string, list: FriendList, loadedMs: number): void {
    this.forget(userId);
    this.cached.set(userId, { list, loadedMs });
    this.cachedIds += sizeOf(list);
    for (const oldest of this.cached.keys()) {
      if (this.cachedIds <= cachedIdsMax) break;
      this.forget(oldest);
    }
  }

  private forget(userId: string): void {
    const cached = this.cached.get(userId);
    if (!cached) return;
    this.cached.delete(userId);
    this.cachedIds -= sizeOf(cached.list);
  }
}

function sizeOf(list: FriendList): number {
  return list.userIds.length + 1;
}

function unlessUnknown(error: unknown): FriendList {
  if (!(error instanceof RpcError) || error.code !== Code.NOT_FOUND) throw error;
  return { userIds: [], presenceAudience: Audience.EVERYBODY };
}
