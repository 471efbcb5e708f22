import { z } from "zod";
import { type ConfigOf, defineConfig } from "../../mesh/config.ts";

/** The settings of IdGen. */
export const idgenConfig = defineConfig({
  leaseMs: {
    env: "PARLEY_IDGEN_LEASE_MS",
    schema: z.coerce.number().int().min(10_000).max(604_800_000),
    default: "14400000",
    unit: "ms",
    secret: false,
    description:
      "How long a worker id is leased, and so how long ids go on while the lease store is away.",
  },
});

/** What the settings parse to. */
export type IdGenConfig = ConfigOf<typeof idgenConfig>;
