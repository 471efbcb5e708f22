/** Who of a DIRECT channel's two users has blocked the other, as Session says. */
import { ChannelKind } from "../../../gen/parley/message/v1/message_pb.js";
import { AccountCache } from "../../../mesh/account-cache.ts";
import type { Clock } from "../../../mesh/clock.ts";
import type { ChannelState } from "./channel-state.ts";

/** Ids in all cached lists, plus one for each list: about 20 MB. */
const cachedIdsMax = 200_000;
/** How old an answer may be where no change of it was heard of. */
const maxAgeMs = 5 * 60_000;
/** How long Session is not asked after a failure. */
const pauseMs = 5_000;

/**
 * Blocks of those to whom somebody writes. A channel that exists never fails because Session is
 * away: what was known last is good enough, and where nothing is known there is no block.
 */
export class Blocks {
  readonly cache: AccountCache<ReadonlySet<string>>;

  /** @param load Session's ListBlockedUserIds */
  constructor(load: (userId: string) => Promise<Iterable<string>>, clock: Clock) {
    this.cache = new AccountCache({
      load: async (userId) => new Set(await load(userId)),
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
    const known = this.cache.fresh(userId);
    if (known) return known.has(otherId);
    return this.cache.get(userId).then((blocked) => blocked?.has(otherId) ?? false);
  }
}
