/** What Apple checks of a request before it takes a notification over. */
import type { KeyObject } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http2";
import { jwtVerify } from "jose";

/** An answer of Apple's. */
export interface ApnsAnswer {
  status: number;
  reason?: string;
  /** With 410: since when, in ms since 1970. */
  timestamp?: number;
  /** The header Retry-After. */
  retryAfter?: string;
}

/** Whose tokens are taken. */
export interface ApnsAccount {
  publicKey: KeyObject;
  keyId: string;
  teamId: string;
  topic: string;
}

const minuteS = 60;

/** Checks the tokens of one connection, which knows when the last one was issued. */
export class ApnsTokenChecks {
  private readonly account: ApnsAccount;
  private readonly nowMs: () => number;
  private lastIssuedS = 0;

  constructor(account: ApnsAccount, nowMs: () => number) {
    this.account = account;
    this.nowMs = nowMs;
  }

  /** Why the token is refused. */
  async check(authorization: string | undefined): Promise<ApnsAnswer | undefined> {
    const token = /^bearer (.+)$/.exec(authorization ?? "")?.[1];
    if (!token) return { status: 403, reason: "MissingProviderToken" };
    let issuedS: number;
    try {
      const { publicKey, teamId, keyId } = this.account;
      const options = {
        algorithms: ["ES256"],
        issuer: teamId,
        currentDate: new Date(this.nowMs()),
      };
      const verified = await jwtVerify(token, publicKey, options);
      if (verified.protectedHeader.kid !== keyId) throw new Error("another key");
      issuedS = verified.payload.iat ?? 0;
    } catch {
      return { status: 403, reason: "InvalidProviderToken" };
    }
    if (Math.abs(this.nowMs() / 1_000 - issuedS) >= 60 * minuteS) {
      return { status: 403, reason: "ExpiredProviderToken" };
    }
    const sinceLastS = issuedS - this.lastIssuedS;
    if (sinceLastS !== 0 && sinceLastS < 20 * minuteS) {
      return { status: 429, reason: "TooManyProviderTokenUpdates" };
    }
    this.lastIssuedS = issuedS;
    return undefined;
  }
}

/** Why the rest of a request is refused. */
export function checkApnsRequest(
  headers: IncomingHttpHeaders,
  body: string,
  topic: string,
): ApnsAnswer | undefined {
  const refused = (status: number, reason: string) => ({ status, reason });
  if (headers[":method"] !== "POST") return refused(405, "MethodNotAllowed");
  const path = /^\/3\/device\/(.*)$/.exec(headers[":path"] ?? "");
  if (!path) return refused(404, "BadPath");
  if (!/^(?:[0-9a-f]{2}){32,100}$/.test(path[1]!)) return refused(400, "BadDeviceToken");
  if (!headers["apns-topic"]) return refused(400, "MissingTopic");
  if (headers["apns-topic"] !== topic) return refused(400, "TopicDisallowed");
  if (headers["apns-push-type"] !== "alert") return refused(400, "InvalidPushType");
  if (!/^(1|5|10)$/.test(String(headers["apns-priority"]))) return refused(400, "BadPriority");
  if (!/^\d+$/.test(String(headers["apns-expiration"]))) return refused(400, "BadExpirationDate");
  if (Buffer.byteLength(String(headers["apns-collapse-id"])) > 64) {
    return refused(400, "BadCollapseId");
  }
  if (body === "") return refused(400, "PayloadEmpty");
  if (Buffer.byteLength(body) > 4_096) return refused(413, "PayloadTooLarge");
  return undefined;
}
