import type { Logger } from "../../mesh/logger.ts";
import type { PushProvider } from "./push-provider.ts";

/** For development: says in the log who would have been notified, and not of what. */
export function logPushProvider(log: Logger): PushProvider {
  return {
    async send({ target, channelId }) {
      const { userId: user_id, deviceId: device_id } = target;
      log.info({ event: "push_logged", user_id, device_id, channel_id: channelId });
      return { outcome: "sent" };
    },
    async close() {},
  };
}
