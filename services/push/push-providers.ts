/** The providers that the settings ask for, as one. */
import { createECDH } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Clock } from "../../mesh/clock.ts";
import { ConfigError } from "../../mesh/config.ts";
import type { Logger } from "../../mesh/logger.ts";
import type { PushProvider } from "./push-provider.ts";
import { ApnsPushProvider } from "./push-provider-apns.ts";
import { type PushProviderConfig, pushProviderConfig } from "./push-provider-config.ts";
import { logPushProvider } from "./push-provider-log.ts";
import { WebPushProvider } from "./push-provider-web-push.ts";

/**
 * Sends each notification over the service that its target's token is of; where that one is not
 * set up, it goes into the log.
 * @throws ConfigError for settings that do not go together, and keys that are none.
 */
export async function openPushProviders(parts: {
  config: PushProviderConfig;
  clock: Clock;
  log: Logger;
}): Promise<PushProvider> {
  const log = logPushProvider(parts.log);
  const apns = await openApns(parts.config, parts.clock);
  const webPush = openWebPush(parts.config, parts.clock);
  parts.log.info({ event: "push_providers", apns: !!apns, web_push: !!webPush });
  const providers = { apns: apns ?? log, webPush: webPush ?? log };
  return {
    async send(notification) {
      const { case: service } = notification.target.token.service;
      if (!service) return { outcome: "refused", reason: "the token names no service" };
      return providers[service].send(notification);
    },
    async close() {
      await Promise.all([apns?.close(), webPush?.close()]);
    },
  };
}

async function openApns(
  config: PushProviderConfig,
  clock: Clock,
): Promise<PushProvider | undefined> {
  if (!allOrNone(config, ["apnsKeyFile", "apnsKeyId", "apnsTeamId", "apnsTopic"])) return;
  const { apnsKeyFile, apnsKeyId: keyId, apnsTeamId: teamId, apnsTopic: topic } = config;
  const { apnsUrl: productionUrl, apnsDevelopmentUrl: developmentUrl } = config;
  try {
    const privateKey = readFileSync(apnsKeyFile, "utf8");
    const key = { privateKey, keyId, teamId };
    return await ApnsPushProvider.open({ key, topic, productionUrl, developmentUrl, clock });
  } catch (error) {
    const { env } = pushProviderConfig.apnsKeyFile;
    const why = (error as NodeJS.ErrnoException).code ?? "no PKCS #8 key of P-256 in PEM";
    throw new ConfigError(`${env}=${JSON.stringify(apnsKeyFile)}: ${why}`);
  }
}

function openWebPush(config: PushProviderConfig, clock: Clock): PushProvider | undefined {
  if (!allOrNone(config, ["vapidPublicKey", "vapidPrivateKey", "vapidSubject"])) return;
  const { vapidPublicKey: publicKey, vapidPrivateKey: privateKey, privateHosts } = config;
  if (publicKeyOf(privateKey) !== publicKey) {
    const { vapidPublicKey, vapidPrivateKey } = pushProviderConfig;
    throw new ConfigError(`${vapidPublicKey.env}: not the other half of ${vapidPrivateKey.env}`);
  }
  const vapid = { publicKey, privateKey, subject: config.vapidSubject };
  return new WebPushProvider({ vapid, privateHosts, clock });
}

/** Whether they are set. @throws ConfigError where some are, which names the others. */
function allOrNone(
  config: PushProviderConfig,
  names: readonly (keyof PushProviderConfig)[],
): boolean {
  const missing = names.filter((name) => config[name] === "");
  if (missing.length === 0) return true;
  if (missing.length === names.length) return false;
  const envs = (of: typeof names) => of.map((name) => pushProviderConfig[name].env).join(", ");
  const set = names.filter((name) => !missing.includes(name));
  throw new ConfigError(`${envs(missing)}: not set, and needed beside ${envs(set)}`);
}

function publicKeyOf(privateKey: string): string | undefined {
  try {
    const pair = createECDH("prime256v1");
    pair.setPrivateKey(privateKey, "base64url");
    return pair.getPublicKey("base64url");
  } catch {
    return undefined;
  }
}
