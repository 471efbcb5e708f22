import type { Hello } from "../gen/parley/edge/v1/frame_pb.js";
import { MessageService } from "../gen/parley/message/v1/message_service_pb.js";
import * as position from "../mesh/resume-position.ts";
import type { Identity } from "../mesh/rpc.ts";
import type { FeedPosition } from "../mesh/subject-feed-following.ts";
import type { EdgeContext } from "./edge-context.ts";

/** Refuses a Hello whose numbers can't be. @throws DomainError FIELD_INVALID */
export function checkHello(hello: Hello): void {
  position.checkPosition("hello.", hello);
}

/** Where the device's inbox goes on; Message is asked what the device acknowledged last. */
export function resumePosition(
  { feeds, mesh, log }: EdgeContext,
  identity: Identity,
  hello: Hello,
): Promise<FeedPosition> {
  return position.resumePosition(feeds, identity.userId, hello, {
    read: async () => (await mesh.client(MessageService).getDeviceCursor({}, { identity })).cursor,
    onUnreadable(err) {
      log.warn({ event: "device_cursor_unreadable", device_id: identity.deviceId, err });
    },
  });
}
