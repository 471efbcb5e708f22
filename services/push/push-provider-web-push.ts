import { createHash } from "node:crypto";
import webPush from "web-push";
import type { WebPushSubscription } from "../../gen/parley/session/v1/session_pb.js";
import type { Clock } from "../../mesh/clock.ts";
import {
  checkPublicHost,
  HostNotPublic,
  type PrivateHosts,
  publicLookup,
} from "../../mesh/public-hosts.ts";
import { RecentMap } from "../../mesh/recent-map.ts";
import { findAnswer, outcomeOf, retryAfterMsOf, webPushAnswers } from "./push-answers.ts";
import { PushBreaker } from "./push-breaker.ts";
import { payloadWithin } from "./push-payload.ts";
import type { PushNotification, PushOutcome, PushProvider } from "./push-provider.ts";
import { WebPushRequests } from "./web-push-request.ts";

/** A body of 4,096 bytes, which every service takes, less what the encryption adds (RFC 8291). */
const payloadBytesMax = 3_993;
/** How long a request may take. */
const answerMs = 10_000;
/** Requests under way, of all hosts. */
const underWayMax = 1_000;
/** Hosts whose failures are remembered: browsers have a handful, but a client may name any. */
const hostsMax = 1_000;

/** How browsers' services are used. */
export interface WebPushOptions {
  /** The keys of our server (RFC 8292), base64url, and whom to ask about it: "mailto:…". */
  vapid: { publicKey: string; privateKey: string; subject: string };
  /** Hosts that may be called although they are private. */
  privateHosts: PrivateHosts;
  /** Whom to trust, PEM; unset: as Node does. */
  ca?: string;
  clock: Clock;
}

/** Sends over the services of browsers (RFC 8030), encrypted for the page (RFC 8291). */
export class WebPushProvider implements PushProvider {
  private readonly options: WebPushOptions;
  private readonly requests: WebPushRequests;
  private readonly breakers = new RecentMap<string, PushBreaker>(hostsMax);
  private underWay = 0;

  constructor(options: WebPushOptions) {
    this.options = options;
    this.requests = new WebPushRequests(options.ca);
  }

  async send(notification: PushNotification): Promise<PushOutcome> {
    const { service } = notification.target.token;
    if (service.case !== "webPush") return { outcome: "refused", reason: "not a subscription" };
    if (notification.expireTimeMs <= this.options.clock.nowMs()) {
      return { outcome: "refused", reason: "expired" };
    }
    if (this.underWay >= underWayMax) return { outcome: "retry", afterMs: 1_000 };
    this.underWay++;
    try {
      return await this.sendTo(service.value, notification);
    } catch (error) {
      // A subscription that no request can be made of, as its host is private or its key is none.
      return { outcome: "refused", reason: (error as Error).name };
    } finally {
      this.underWay--;
    }
  }

  async close(): Promise<void> {
    this.requests.close();
  }

  private async sendTo(
    subscription: WebPushSubscription,
    notification: PushNotification,
  ): Promise<PushOutcome> {
    const { clock, privateHosts } = this.options;
    const url = new URL(subscription.endpoint);
    checkPublicHost(url, privateHosts);
    const breaker = this.breakerOf(url.host);
    const noAnswer = findAnswer(webPushAnswers, 0);
    if (breaker.pauseMs() > 0) return outcomeOf(noAnswer, { retryAfterMs: breaker.pauseMs() });

    const { headers, body } = this.encrypt(subscription, notification);
    const lookup = publicLookup(url, privateHosts);
    const late = new AbortController();
    const timer = clock.setTimer(answerMs, () => late.abort());
    try {
      const { signal } = late;
      const { status, retryAfter } = await this.requests.post({
        url,
        headers,
        body,
        lookup,
        signal,
      });
      breaker.worked();
      const retryAfterMs = retryAfterMsOf(retryAfter, clock.nowMs());
      const said = retryAfterMs === undefined ? {} : { retryAfterMs };
      return outcomeOf(findAnswer(webPushAnswers, status), said);
    } catch (error) {
      if (error instanceof HostNotPublic) throw error;
      breaker.failed();
      return outcomeOf(noAnswer);
    } finally {
      timer.cancel();
    }
  }

  private encrypt(
    { endpoint, p256dh, auth }: WebPushSubscription,
    notification: PushNotification,
  ): { headers: Record<string, string>; body: Uint8Array } {
    const keys = {
      p256dh: Buffer.from(p256dh).toString("base64url"),
      auth: Buffer.from(auth).toString("base64url"),
    };
    const lifeMs = notification.expireTimeMs - this.options.clock.nowMs();
    const { headers, body } = webPush.generateRequestDetails(
      { endpoint, keys },
      payloadOf(notification),
      {
        vapidDetails: this.options.vapid,
        contentEncoding: "aes128gcm",
        TTL: Math.ceil(lifeMs / 1_000),
        urgency: "high",
        topic: topicOf(notification.collapseId),
      },
    );
    return { headers: headers as Record<string, string>, body };
  }

  private breakerOf(host: string): PushBreaker {
    const known = this.breakers.get(host);
    if (known) return known;
    const breaker = new PushBreaker(this.options.clock);
    this.breakers.set(host, breaker);
    return breaker;
  }
}

/** What the page's service worker gets, in JSON. */
function payloadOf(notification: PushNotification): string {
  const { title, badge, channelId, messageId } = notification;
  return payloadWithin(payloadBytesMax, notification.body, (body) => ({
    ...{ title, body, badge },
    channel_id: channelId,
    message_id: String(messageId),
  }));
}

/** At most 32 characters of base64url (RFC 8030, section 5.4). */
function topicOf(collapseId: string): string {
  return createHash("sha256").update(collapseId).digest("base64url").slice(0, 32);
}
