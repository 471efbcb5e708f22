import { z } from "zod";
import { defineConfig } from "../../mesh/config.ts";

/** Settings of the Message service and its workers. */
export const messageConfig = defineConfig({
  logRetentionMs: {
    env: "PARLEY_LOG_RETENTION_MS",
    // Half of it may lie between a channel's snapshots, and an append takes seconds.
    schema: z.coerce.number().int().min(60_000),
    default: String(7 * 24 * 3_600_000),
    unit: "ms",
    secret: false,
    description:
      "How long the log keeps what has been persisted, fanned out and indexed; where it is nearly full, 1 hour.",
  },
  trimIntervalMs: {
    env: "PARLEY_LOG_TRIM_INTERVAL_MS",
    schema: z.coerce.number().int().min(1_000),
    default: "60000",
    unit: "ms",
    secret: false,
    description: "How often the log is trimmed.",
  },
});
