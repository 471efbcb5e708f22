import { z } from "zod";
import { type ConfigOf, defineConfig } from "../../mesh/config.ts";

const ms = (min: number, max: number) => z.coerce.number().int().min(min).max(max);

/** The settings of Presence. */
export const presenceConfig = defineConfig({
  graceMs: {
    env: "PARLEY_PRESENCE_GRACE_MS",
    schema: ms(100, 3_600_000),
    default: "30000",
    unit: "ms",
    secret: false,
    description:
      "How long a user still counts as online after the last sign of any device: a heartbeat, or the end of its connection.",
  },
  beatIntervalMs: {
    env: "PARLEY_PRESENCE_BEAT_INTERVAL_MS",
    schema: ms(50, 60_000),
    default: "5000",
    unit: "ms",
    secret: false,
    description: "How often an edge must be heard; one that misses three beats counts as lost.",
  },
  friendsMaxAgeMs: {
    env: "PARLEY_PRESENCE_FRIENDS_MAX_AGE_MS",
    schema: ms(0, 3_600_000),
    default: "30000",
    unit: "ms",
    secret: false,
    description: "How long friends and the presence audience of a user are taken as known.",
  },
  writeDelayMs: {
    env: "PARLEY_PRESENCE_WRITE_DELAY_MS",
    schema: ms(0, 60_000),
    default: "2000",
    unit: "ms",
    secret: false,
    description: "How long changes gather before they are stored; a crash loses so much.",
  },
});

/** What the settings parse to. */
export type PresenceConfig = ConfigOf<typeof presenceConfig>;
