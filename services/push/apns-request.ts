import { createHash } from "node:crypto";
import type { OutgoingHttpHeaders } from "node:http2";
import { payloadWithin } from "./push-payload.ts";
import type { PushNotification } from "./push-provider.ts";

/** Apple's limit of an alert. */
const payloadBytesMax = 4_096;
/** Apple's limit of `apns-collapse-id`. */
const collapseIdBytesMax = 64;

/** The headers of a request: https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns */
export function apnsHeaders(
  notification: PushNotification,
  deviceToken: string,
  topic: string,
): OutgoingHttpHeaders {
  return {
    ":method": "POST",
    ":path": `/3/device/${deviceToken}`,
    "apns-topic": topic,
    "apns-push-type": "alert",
    "apns-priority": "10",
    // Seconds since 1970, not from now on. What would round to 0 would be tried once.
    "apns-expiration": String(Math.ceil(notification.expireTimeMs / 1_000)),
    "apns-collapse-id": collapseIdOf(notification.collapseId),
  };
}

/** The payload, at most 4,096 bytes. */
export function apnsPayload(notification: PushNotification): string {
  const { title, badge, channelId, messageId } = notification;
  return payloadWithin(payloadBytesMax, notification.body, (body) => ({
    aps: {
      alert: { title, body },
      badge,
      sound: "default",
      "thread-id": channelId,
      // An app's extension may read the message itself.
      "mutable-content": 1,
    },
    channel_id: channelId,
    message_id: String(messageId),
  }));
}

function collapseIdOf(id: string): string {
  if (Buffer.byteLength(id) <= collapseIdBytesMax) return id;
  return createHash("sha256").update(id).digest("hex");
}
