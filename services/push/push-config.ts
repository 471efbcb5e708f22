import { z } from "zod";
import { type ConfigOf, defineConfig } from "../../mesh/config.ts";

const ms = z.coerce.number().int().min(0);

/** Settings of push: when a notification is due. */
export const pushConfig = defineConfig({
  delayMs: {
    env: "PARLEY_PUSH_DELAY_MS",
    schema: ms,
    default: "5000",
    unit: "ms",
    secret: false,
    description: "How long after a text a member who is offline is notified of it.",
  },
  onlineDelayMs: {
    env: "PARLEY_PUSH_ONLINE_DELAY_MS",
    schema: ms,
    default: "30000",
    unit: "ms",
    secret: false,
    description:
      "How long after a text a member who seems online is notified, where no device has received it; best PARLEY_PRESENCE_GRACE_MS.",
  },
  expiryMs: {
    env: "PARLEY_PUSH_EXPIRY_MS",
    schema: z.coerce.number().int().min(60_000),
    default: String(24 * 3_600_000),
    unit: "ms",
    secret: false,
    description: "How long after a text nobody is notified of it any more.",
  },
});

/** What {@link pushConfig} comes to. */
export type PushConfig = ConfigOf<typeof pushConfig>;
