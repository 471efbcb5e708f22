/** Our key for Web Push: Session tells pages, push signs with its other half. */
import { z } from "zod";
import { defineConfig } from "./config.ts";

/** The setting, of both roles. */
export const webPushKeyConfig = defineConfig({
  vapidPublicKey: {
    env: "PARLEY_VAPID_PUBLIC_KEY",
    schema: z.string().regex(/^([A-Za-z0-9_-]{87})?$/, "not 65 bytes in base64url"),
    default: "",
    unit: "",
    secret: false,
    description:
      "Our server's key for Web Push, which pages subscribe with; empty: no Web Push. `npx web-push generate-vapid-keys` makes a pair.",
  },
});
