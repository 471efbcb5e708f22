/** Who of a DIRECT channel's two users has blocked the other, as Session says. */
import { ChannelKind } from "../../../gen/parley/message/v1/message_pb.js";
import { AccountCache, loadTogether } from "../../../mesh/account-cache.ts";
import type { Clock } from "../../../mesh/clock.ts";
import type { ChannelState } from "./channel-state.ts";

/** Ids in all cached lists, plus one for each list: about 20 MB. */
const cachedIdsMax = 200_000;
/** How old an answer may be, where no change of it was heard of, before Session is asked again. */
const maxAgeMs = 5 * 60_000;
/** How long Session is not asked after a failure. */
const pauseMs = 5_000;
/** Users that Session is asked of in one call, and in all calls under way. */
const usersMax = 40;
const loadsMax = 10 * usersMax;

/** Asks Session. */
export type LoadBlocks = (
  userIds: readonly string[],
) => Promise<ReadonlyMap<string, Iterable<string>>>;

/**
 * Blocks of those to whom somebody writes. A channel that exists never fails because Session is
 * away: what was known last is good enough, and where nothing is known there is no block.
 */
export class Blocks {
  readonly cache: AccountCache<ReadonlySet<string>>;

  /** @param load Session's ListBlockedUserIds: of at most 40 users, those who block anybody */
  constructor(load: LoadBlocks, clock: Clock) {
    const loadOne = loadTogether(load, usersMax);
    this.cache = new AccountCache({
      load: async (userId) => new Set(await loadOne(userId)),
      loadsMax,
      sizeOf: ({ size }) => size,
      sizeMax: cachedIdsMax,
      ...{ maxAgeMs, pauseMs, clock },
    });
  }

  /** Whether the other user of a DIRECT channel has blocked this one. In a group: no. */
  isBlocked(state: ChannelState | undefined, userId: string): boolean | Promise<boolean> {
    if (state?.channel.kind !== ChannelKind.DIRECT || !state.members.has(userId)) return false;
    for (const otherId of state.members.keys()) {
      if (otherId !== userId) return this.hasBlocked(otherId, userId);
    }
    return false;
  }

  private hasBlocked(userId: string, otherId: string): boolean | Promise<boolean> {
    const known = this.cache.known(userId);
    if (known) return known.has(otherId);
    return this.cache.get(userId).then((blocked) => blocked?.has(otherId) ?? false);
  }
}
