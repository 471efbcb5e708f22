/** Users' friends and who may see their presence, from Session, kept for a while. */
import { Audience } from "../../gen/parley/session/v1/session_pb.js";
import type { ListFriendIdsResponse } from "../../gen/parley/session/v1/session_service_pb.js";
import { AccountCache, loadTogether } from "../../mesh/account-cache.ts";
import type { Clock } from "../../mesh/clock.ts";

/** What Session says of a user. */
export interface FriendList {
  readonly userIds: readonly string[];
  readonly presenceAudience: Audience;
  readonly lastSeenAudience: Audience;
  readonly blockedUserIds: readonly string[];
}

/** What the lists need. */
export interface FriendListsOptions {
  /** SessionService.ListFriendIds, of at most 20 users. */
  load(userIds: string[]): Promise<Pick<ListFriendIdsResponse, "friends">>;
  maxAgeMs: number;
  clock: Clock;
}

/** Ids in all cached lists, plus one for each list: about 40 MB. */
const cachedIdsMax = 500_000;
/** Users that Session is asked of in one call, and in all calls under way. */
const usersMax = 20;
const loadsMax = 10 * usersMax;

/** A deleted account has nobody to tell. */
const unknown: FriendList = {
  userIds: [],
  presenceAudience: Audience.NOBODY,
  lastSeenAudience: Audience.NOBODY,
  blockedUserIds: [],
};

/** The friend lists that one instance needs. */
export type FriendLists = AccountCache<FriendList>;

/** Makes them. Session is asked together of the users that are asked for at once. */
export function friendLists({ load, maxAgeMs, clock }: FriendListsOptions): FriendLists {
  const loadOne = loadTogether(async (userIds) => {
    const { friends } = await load([...userIds]);
    return new Map(friends.map((each) => [each.userId, { ...each, userIds: each.friendIds }]));
  }, usersMax);
  return new AccountCache<FriendList>({
    load: async (userId) => (await loadOne(userId)) ?? unknown,
    loadsMax,
    sizeOf: ({ userIds, blockedUserIds }) => userIds.length + blockedUserIds.length,
    sizeMax: cachedIdsMax,
    maxAgeMs,
    clock,
  });
}
