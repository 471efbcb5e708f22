/**
 * MessageService.Follow: the feed that edges give to devices, for gRPC callers. Each call is one
 * follower of the caller's inbox and LIVE channels.
 */
import type { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { followedChannelsMax } from "../../../mesh/channel-feeds.ts";
import type { Logger } from "../../../mesh/logger.ts";
import { checkPosition, resumePosition } from "../../../mesh/resume-position.ts";
import type { ServerStreamHandler } from "../../../mesh/rpc.ts";
import { checkPositions } from "../history/sync-channels.ts";
import { refuse } from "../message-codes.ts";
import { requireIdentity } from "../request-fields.ts";
import type { MessageStore } from "../store/message-store.ts";
import { InboxFollower, type InboxFollowerOptions } from "./inbox-follower.ts";

type FollowMethod = (typeof MessageService)["method"]["follow"];

/** What following works on. */
export interface FollowDependencies extends InboxFollowerOptions {
  store: MessageStore;
  logger: Logger;
}

/** Serves the followers of one instance: one to a device, its latest. */
export function serveFollow(deps: FollowDependencies): ServerStreamHandler<FollowMethod> {
  const { feeds, store, logger } = deps;
  const followers = new Map<string, InboxFollower>();

  return async (request, responses, context) => {
    const identity = requireIdentity(context);
    const { userId, deviceId } = identity;
    checkPosition("", request);
    checkPositions("channels", request.channels, 0, followedChannelsMax);

    const follower = new InboxFollower(deps, responses, identity);
    responses.onClose = () => {
      follower.stop();
      if (followers.get(deviceId) === follower) followers.delete(deviceId);
    };
    const before = followers.get(deviceId);
    followers.set(deviceId, follower);
    // Mostly a call that its device has forgotten: the connection below it is half open.
    before?.end(refuse("REPLACED", "the device follows by another call"));

    const position = await resumePosition(feeds, userId, request, {
      async read() {
        const row = await store.getDeviceCursor(userId, deviceId);
        return row && { ...row, inboxSequence: BigInt(row.inboxSequence) };
      },
      onUnreadable(err) {
        logger.warn({ event: "device_cursor_unreadable", device_id: deviceId, err });
      },
    });
    follower.start(position, request.channels);
  };
}
