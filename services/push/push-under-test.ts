/** Notifications for the providers' tests. */
import { create } from "@bufbuild/protobuf";
import {
  ApnsEnvironment,
  type PushToken,
  PushTokenSchema,
} from "../../gen/parley/session/v1/session_pb.js";
import type { PushNotification } from "./push-provider.ts";

/** A channel's id, as long as they are. */
export const channelId = "d-aaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb";

/** A token of Apple's: `n` in hexadecimal digits. */
export function apnsTokenOf(n: number, environment = ApnsEnvironment.PRODUCTION): PushToken {
  const deviceToken = n.toString(16).padStart(64, "0");
  return create(PushTokenSchema, {
    service: { case: "apns", value: { deviceToken, environment } },
  });
}

/** A notification that lives for an hour after `nowMs`. */
export function notificationTo(
  token: PushToken,
  nowMs: number,
  fields: Partial<PushNotification> = {},
): PushNotification {
  return {
    target: { userId: "aaaaaaaaaaaaaaaa", deviceId: "cccccccccccccccc", token },
    ...{ channelId, messageId: 42n, collapseId: channelId },
    ...{ title: "Ben", body: "Good morning", badge: 3 },
    expireTimeMs: nowMs + 3_600_000,
    ...fields,
  };
}
