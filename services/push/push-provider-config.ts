import { z } from "zod";
import { type ConfigOf, defineConfig } from "../../mesh/config.ts";
import { publicHostsConfig } from "../../mesh/public-hosts.ts";
import { webPushKeyConfig } from "../../mesh/web-push-key.ts";

/** Either nothing, or what the pattern asks for. */
const optional = (pattern: RegExp, message: string) =>
  z.string().refine((text) => text === "" || pattern.test(text), message);
const tenCharacters = optional(/^[A-Z0-9]{10}$/, "not 10 characters of A-Z and 0-9");
const httpsUrl = z.url({ protocol: /^https$/ });

/** How pushes reach devices. Of what is not set, the log says instead who would have had one. */
export const pushProviderConfig = defineConfig({
  apnsKeyFile: {
    env: "PARLEY_APNS_KEY_FILE",
    schema: z.string(),
    default: "",
    unit: "",
    secret: false,
    description: "The .p8 file that Apple's developer pages give with a key; empty: no APNs.",
  },
  apnsKeyId: {
    env: "PARLEY_APNS_KEY_ID",
    schema: tenCharacters,
    default: "",
    unit: "",
    secret: false,
    description: "The key's id.",
  },
  apnsTeamId: {
    env: "PARLEY_APNS_TEAM_ID",
    schema: tenCharacters,
    default: "",
    unit: "",
    secret: false,
    description: "The id of the team that has the key.",
  },
  apnsTopic: {
    env: "PARLEY_APNS_TOPIC",
    schema: optional(/^[A-Za-z0-9.-]{1,255}$/, "not a bundle id"),
    default: "",
    unit: "",
    secret: false,
    description: "The app's bundle id.",
  },
  apnsUrl: {
    env: "PARLEY_APNS_URL",
    schema: httpsUrl,
    default: "https://api.push.apple.com",
    unit: "",
    secret: false,
    description: "Apple's service for apps from its stores.",
  },
  apnsDevelopmentUrl: {
    env: "PARLEY_APNS_DEVELOPMENT_URL",
    schema: httpsUrl,
    default: "https://api.sandbox.push.apple.com",
    unit: "",
    secret: false,
    description: "Apple's service for apps that were built for development.",
  },
  ...webPushKeyConfig,
  vapidPrivateKey: {
    env: "PARLEY_VAPID_PRIVATE_KEY",
    schema: optional(/^[A-Za-z0-9_-]{43}$/, "not 32 bytes in base64url"),
    default: "",
    unit: "",
    secret: true,
    description: "Its other half.",
  },
  vapidSubject: {
    env: "PARLEY_VAPID_SUBJECT",
    schema: optional(/^(mailto:.+@|https:\/\/).+$/, "neither mailto:… nor https://…"),
    default: "",
    unit: "",
    secret: false,
    description: "Whom browsers' services may ask about our pushes: a mailto: or https: URL.",
  },
  ...publicHostsConfig,
});

/** The parsed settings. */
export type PushProviderConfig = ConfigOf<typeof pushProviderConfig>;
