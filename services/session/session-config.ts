import { z } from "zod";
import { accessTokenMsMax } from "../../mesh/access-token.ts";
import { type ConfigOf, defineConfig } from "../../mesh/config.ts";
import { publicHostsConfig } from "../../mesh/public-hosts.ts";
import { webPushKeyConfig } from "../../mesh/web-push-key.ts";

const minuteMs = 60_000;
const dayMs = 86_400_000;

/** A whole number within limits. */
function integer(min: number, max: number): z.ZodType<number> {
  return z.coerce.number().int().min(min).max(max);
}

/** What can be set about accounts and their sign-ins. */
export const sessionConfig = defineConfig({
  accessTokenMs: {
    env: "PARLEY_SESSION_ACCESS_TOKEN_MS",
    schema: integer(minuteMs, accessTokenMsMax),
    default: String(15 * minuteMs),
    unit: "ms",
    secret: false,
    description: "How long an access token lives; edges remember revocations for as long.",
  },
  refreshTokenMs: {
    env: "PARLEY_SESSION_REFRESH_TOKEN_MS",
    schema: integer(dayMs, 400 * dayMs),
    default: String(30 * dayMs),
    unit: "ms",
    secret: false,
    description: "How long a device stays signed in without a refresh.",
  },
  signingKeyMs: {
    env: "PARLEY_SESSION_SIGNING_KEY_MS",
    schema: integer(dayMs, 400 * dayMs),
    default: String(30 * dayMs),
    unit: "ms",
    secret: false,
    description: "How long a key signs access tokens before the next one takes over.",
  },
  passwordMemoryKib: {
    env: "PARLEY_SESSION_PASSWORD_MEMORY_KIB",
    schema: integer(8, 1_048_576),
    default: "19456",
    unit: "KiB",
    secret: false,
    description:
      "Memory that argon2id takes for a password; OWASP's advice is 19456 with 2 passes.",
  },
  passwordPasses: {
    env: "PARLEY_SESSION_PASSWORD_PASSES",
    schema: integer(1, 100),
    default: "2",
    unit: "passes",
    secret: false,
    description: "How often argon2id goes over that memory.",
  },
  passwordsAtOnceMax: {
    env: "PARLEY_SESSION_PASSWORDS_AT_ONCE_MAX",
    schema: integer(1, 128),
    default: "1",
    unit: "passwords",
    secret: false,
    description:
      "How many passwords an instance hashes at once, each in a process (24 MB) that gives way to all " +
      "others: fewer than the machine has cores, or those who talk notice.",
  },
  passwordsQueuedMax: {
    env: "PARLEY_SESSION_PASSWORDS_QUEUED_MAX",
    schema: integer(0, 10_000),
    default: "500",
    unit: "passwords",
    secret: false,
    description: "How many passwords wait to be hashed; more are answered OVERLOADED.",
  },
  wrongPasswordsPerAccountMax: {
    env: "PARLEY_SESSION_WRONG_PASSWORDS_PER_ACCOUNT_MAX",
    schema: integer(1, 1_000_000),
    default: "100",
    unit: "attempts in 10 minutes",
    secret: false,
    description:
      "How many wrong passwords a user name, e-mail address or signed-in user may be given from all " +
      "client addresses together, and as many again from those where the account has a device.",
  },
  wrongPasswordsPerAddressAndAccountMax: {
    env: "PARLEY_SESSION_WRONG_PASSWORDS_PER_ADDRESS_AND_ACCOUNT_MAX",
    schema: integer(1, 1_000_000),
    default: "10",
    unit: "attempts in 10 minutes",
    secret: false,
    description: "How many of them may come from one client address.",
  },
  wrongPasswordsPerAddressMax: {
    env: "PARLEY_SESSION_WRONG_PASSWORDS_PER_ADDRESS_MAX",
    schema: integer(1, 1_000_000),
    default: "1000",
    unit: "attempts in 10 minutes",
    secret: false,
    description: "How many wrong passwords may come from one client address.",
  },
  signUpsPerAddressMax: {
    env: "PARLEY_SESSION_SIGN_UPS_PER_ADDRESS_MAX",
    schema: integer(1, 100_000_000),
    default: "50000",
    unit: "sign-ups an hour",
    secret: false,
    description: "How many accounts may be made from one client address.",
  },
  assignmentsPerAddressMax: {
    env: "PARLEY_SESSION_ASSIGNMENTS_PER_ADDRESS_MAX",
    schema: integer(1, 100_000_000),
    default: "20000",
    unit: "calls in 10 minutes",
    secret: false,
    description: "How often AssignEdge may be called from one client address.",
  },
  ...publicHostsConfig,
  ...webPushKeyConfig,
});

/** The parsed settings. */
export type SessionConfig = ConfigOf<typeof sessionConfig>;
