import { Audience, FriendState } from "../../gen/parley/session/v1/session_pb.js";
import { inPair } from "./friend-pair.ts";
import { sessionError } from "./session-errors.ts";
import type { SessionHandlers, SessionParts } from "./session-parts.ts";

const { REQUESTED, INVITED, FRIENDS } = FriendState;

/**
 * Asking, accepting, declining, parting. Each of two users has a row that says how the other
 * stands to them: REQUESTED with INVITED, or FRIENDS twice. A declined request leaves REQUESTED
 * alone: the other is not told.
 */
export function friendHandlers(
  parts: SessionParts,
): Pick<SessionHandlers, "requestFriend" | "acceptFriend" | "declineFriend" | "removeFriend"> {
  return {
    async requestFriend(request, context) {
      const friend = await inPair(parts, request.userId, context, async (pair) => {
        if (!pair.other) throw sessionError("USER_NOT_FOUND", `no user ${pair.otherId}`);
        if (pair.mine === REQUESTED || pair.mine === FRIENDS) return pair.asFriend();
        if (pair.blockerIds.length > 0) {
          throw sessionError("BLOCKED", `${pair.blockerIds[0]} has blocked the other`);
        }
        await pair.requireRoom(pair.callerId, [REQUESTED, FRIENDS], "friends and requests");
        if (pair.mine === INVITED || pair.theirs === REQUESTED) return pair.put(FRIENDS, FRIENDS);
        if (pair.other.friend_request_audience === Audience.NOBODY) {
          throw sessionError("NOT_IN_AUDIENCE", `${pair.otherId} wants no requests`);
        }
        await pair.requireRoom(pair.otherId, [INVITED], "unanswered requests by others");
        return pair.put(REQUESTED, INVITED);
      });
      return { friend };
    },

    async acceptFriend(request, context) {
      const friend = await inPair(parts, request.userId, context, async (pair) => {
        if (pair.mine === FRIENDS) return pair.asFriend();
        if (pair.mine !== INVITED) throw requestNotFound(pair.otherId);
        await pair.requireRoom(pair.callerId, [REQUESTED, FRIENDS], "friends and requests");
        return pair.put(FRIENDS, FRIENDS);
      });
      return { friend };
    },

    async declineFriend(request, context) {
      await inPair(parts, request.userId, context, async (pair) => {
        if (pair.mine !== INVITED) throw requestNotFound(pair.otherId);
        await pair.delete([pair.callerId]);
      });
      return {};
    },

    async removeFriend(request, context) {
      await inPair(parts, request.userId, context, async (pair) => {
        if (pair.mine === REQUESTED || pair.mine === FRIENDS) {
          await pair.delete([pair.callerId, pair.otherId]);
        }
      });
      return {};
    },
  };
}

function requestNotFound(otherId: string): Error {
  return sessionError("FRIEND_REQUEST_NOT_FOUND", `no request by ${otherId}`);
}
