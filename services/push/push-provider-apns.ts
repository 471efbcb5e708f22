import {
  ApnsEnvironment,
  type ApnsToken as DeviceToken,
} from "../../gen/parley/session/v1/session_pb.js";
import type { Clock } from "../../mesh/clock.ts";
import { ApnsConnection, type ApnsResponse, ApnsUnanswered } from "./apns-connection.ts";
import { apnsHeaders, apnsPayload } from "./apns-request.ts";
import { type ApnsKey, ApnsToken } from "./apns-token.ts";
import { apnsAnswers, findAnswer, outcomeOf, retryAfterMsOf } from "./push-answers.ts";
import type { PushNotification, PushOutcome, PushProvider } from "./push-provider.ts";

/** How Apple's service is used. */
export interface ApnsOptions {
  key: ApnsKey;
  /** The app's bundle id. */
  topic: string;
  /** Apple's two services. */
  productionUrl: string;
  developmentUrl: string;
  /** Whom to trust, PEM; unset: as Node does. */
  ca?: string;
  clock: Clock;
}

/** The body of an error. */
interface ErrorBody {
  reason?: string;
  /** With 410: since when, in ms since 1970. */
  timestamp?: number;
}

/** Sends over Apple's service (FACTS of it: docs/PUSH.md). */
export class ApnsPushProvider implements PushProvider {
  private readonly options: ApnsOptions;
  private readonly token: ApnsToken;
  private readonly production: ApnsConnection;
  private readonly development: ApnsConnection;

  private constructor(options: ApnsOptions, token: ApnsToken) {
    this.options = options;
    this.token = token;
    const { productionUrl, developmentUrl } = options;
    this.production = new ApnsConnection({ ...options, url: productionUrl });
    this.development = new ApnsConnection({ ...options, url: developmentUrl });
  }

  /** Connects with the first notification. @throws TypeError where the key is none. */
  static async open(options: ApnsOptions): Promise<ApnsPushProvider> {
    return new ApnsPushProvider(options, await ApnsToken.open(options.key, options.clock));
  }

  async send(notification: PushNotification): Promise<PushOutcome> {
    const { service } = notification.target.token;
    if (service.case !== "apns") return { outcome: "refused", reason: "not a token of Apple's" };
    if (notification.expireTimeMs <= this.options.clock.nowMs()) {
      return { outcome: "refused", reason: "expired" };
    }
    const { environment } = service.value;
    const isProduction = environment !== ApnsEnvironment.DEVELOPMENT;
    const connection = isProduction ? this.production : this.development;
    try {
      return await this.sendOver(connection, notification, service.value);
    } catch (error) {
      const afterMs = error instanceof ApnsUnanswered ? error.afterMs : undefined;
      return outcomeOf(findAnswer(apnsAnswers, 0), afterMs ? { retryAfterMs: afterMs } : {});
    }
  }

  async close(): Promise<void> {
    this.production.close();
    this.development.close();
  }

  private async sendOver(
    connection: ApnsConnection,
    notification: PushNotification,
    { deviceToken }: DeviceToken,
  ): Promise<PushOutcome> {
    const headers = apnsHeaders(notification, deviceToken, this.options.topic);
    const payload = apnsPayload(notification);
    const request = (token: string) =>
      connection.request({ ...headers, authorization: `bearer ${token}` }, payload);

    const token = await this.token.current();
    let response = await request(token);
    let error = errorOf(response);
    if (error.reason === "ExpiredProviderToken") {
      const renewed = await this.token.after(token);
      if (renewed) {
        response = await request(renewed);
        error = errorOf(response);
      }
    }
    if (error.reason === "Shutdown") connection.retire();
    const { reason, timestamp } = error;
    const retryAfterMs = retryAfterMsOf(response.retryAfter, this.options.clock.nowMs());
    return outcomeOf(findAnswer(apnsAnswers, response.status, reason), {
      ...(reason && { reason }),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      ...(timestamp && { goneSinceMs: timestamp }),
    });
  }
}

function errorOf({ status, body }: ApnsResponse): ErrorBody {
  if (status === 200 || body === "") return {};
  try {
    const { reason, timestamp } = JSON.parse(body);
    return {
      ...(/^\w{1,64}$/.test(reason) && { reason }),
      ...(Number.isSafeInteger(timestamp) && { timestamp }),
    };
  } catch {
    return {};
  }
}
