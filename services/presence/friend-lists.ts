/** Users' friends and who may see their presence, from Session, kept for a while. */
import { Audience } from "../../gen/parley/session/v1/session_pb.js";
import { AccountCache } from "../../mesh/account-cache.ts";
import type { Clock } from "../../mesh/clock.ts";
import { Code, RpcError } from "../../mesh/errors.ts";

/** What Session says of a user. */
export interface FriendList {
  readonly userIds: readonly string[];
  readonly presenceAudience: Audience;
  readonly lastSeenAudience: Audience;
  readonly blockedUserIds: readonly string[];
}

/** What the lists need. */
export interface FriendListsOptions {
  /** SessionService.ListFriendIds. */
  load(userId: string): Promise<FriendList>;
  maxAgeMs: number;
  clock: Clock;
}

/** Ids in all cached lists, plus one for each list: about 40 MB. */
const cachedIdsMax = 500_000;

/** The friend lists that one instance needs. */
export type FriendLists = AccountCache<FriendList>;

/** Makes them. A user that Session does not know has no friends and nothing to hide. */
export function friendLists({ load, maxAgeMs, clock }: FriendListsOptions): FriendLists {
  return new AccountCache({
    load: (userId) => load(userId).catch(unlessUnknown),
    sizeOf: ({ userIds, blockedUserIds }) => userIds.length + blockedUserIds.length,
    sizeMax: cachedIdsMax,
    maxAgeMs,
    clock,
  });
}

function unlessUnknown(error: unknown): FriendList {
  if (!(error instanceof RpcError) || error.code !== Code.NOT_FOUND) throw error;
  const everybody = Audience.EVERYBODY;
  return {
    userIds: [],
    presenceAudience: everybody,
    lastSeenAudience: everybody,
    blockedUserIds: [],
  };
}
