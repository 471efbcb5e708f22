/**
 * What the answers of the services that bring pushes mean. The providers decide by these tables,
 * their tests try row by row, and docs/PUSH.md is made from them.
 */
import type { PushOutcome } from "./push-provider.ts";

/** One kind of answer. */
export interface PushAnswer {
  /** The HTTP status; 0: there was none. */
  status: number;
  /** What the body names, of Apple's; unset: any other, or none. */
  reason?: string;
  /** What becomes of the notification. */
  outcome: PushOutcome["outcome"];
  /** Whether the answer says when to come again, in Retry-After or by this many ms at least. */
  afterMs?: number;
  /** For the reader of docs/PUSH.md. */
  meaning: string;
}

const minuteMs = 60_000;

const unanswered: PushAnswer = {
  status: 0,
  outcome: "retry",
  meaning: "no connection, a lost one, or no answer within 10 s",
};

/** Apple's, after "Handling notification responses from APNs". */
export const apnsAnswers: readonly PushAnswer[] = [
  { status: 200, outcome: "sent", meaning: "taken over" },
  {
    status: 400,
    reason: "BadDeviceToken",
    outcome: "gone",
    meaning: "no token, or one of the other environment",
  },
  {
    status: 400,
    reason: "IdleTimeout",
    outcome: "retry",
    meaning: "the connection, not the notification, was refused",
  },
  { status: 400, outcome: "refused", meaning: "the request is wrong, and will be again" },
  {
    status: 403,
    reason: "ExpiredProviderToken",
    outcome: "retry",
    afterMs: minuteMs,
    meaning: "first our token is renewed, if it is 20 minutes old, and the request sent again",
  },
  { status: 403, outcome: "refused", meaning: "key, key id or team id in the settings are wrong" },
  { status: 404, outcome: "refused", meaning: "the path is wrong" },
  { status: 405, outcome: "refused", meaning: "the method is wrong" },
  {
    status: 410,
    reason: "ExpiredToken",
    outcome: "gone",
    meaning: "the token ended at the answer's timestamp",
  },
  {
    status: 410,
    reason: "Unregistered",
    outcome: "gone",
    meaning: "the app was removed at the answer's timestamp",
  },
  { status: 410, outcome: "gone", meaning: "the token ended" },
  { status: 413, outcome: "refused", meaning: "more than 4,096 bytes" },
  {
    status: 429,
    reason: "TooManyProviderTokenUpdates",
    outcome: "retry",
    afterMs: minuteMs,
    meaning: "our token was renewed more often than every 20 minutes",
  },
  {
    status: 429,
    reason: "TooManyRequests",
    outcome: "retry",
    afterMs: minuteMs,
    meaning: "too many for one device",
  },
  { status: 429, outcome: "retry", meaning: "too many" },
  { status: 500, outcome: "retry", meaning: "a fault of Apple's" },
  {
    status: 503,
    reason: "Shutdown",
    outcome: "retry",
    meaning: "that server ends; the next request takes another connection",
  },
  { status: 503, outcome: "retry", meaning: "Apple's service is away" },
  unanswered,
];

/** The browsers' services, after RFC 8030 and RFC 8292, and what they document. */
export const webPushAnswers: readonly PushAnswer[] = [
  { status: 200, outcome: "sent", meaning: "taken over" },
  { status: 201, outcome: "sent", meaning: "taken over" },
  { status: 202, outcome: "sent", meaning: "taken over" },
  { status: 301, outcome: "refused", meaning: "redirects are not followed" },
  { status: 400, outcome: "refused", meaning: "the request is wrong, and will be again" },
  { status: 401, outcome: "refused", meaning: "the VAPID keys in the settings are wrong" },
  {
    status: 403,
    outcome: "refused",
    meaning: "the subscription was made for another VAPID key",
  },
  { status: 404, outcome: "gone", meaning: "the subscription ended" },
  { status: 410, outcome: "gone", meaning: "the subscription ended" },
  { status: 413, outcome: "refused", meaning: "more than 4,096 bytes" },
  { status: 429, outcome: "retry", meaning: "too many" },
  { status: 500, outcome: "retry", meaning: "a fault of the service" },
  { status: 502, outcome: "retry", meaning: "the service is away" },
  { status: 503, outcome: "retry", meaning: "the service is away" },
  unanswered,
];

/** The row for an answer. Of other statuses, those from 500 on are tried again. */
export function findAnswer(
  answers: readonly PushAnswer[],
  status: number,
  reason?: string,
): PushAnswer {
  const ofStatus = answers.filter((answer) => answer.status === status);
  return (
    ofStatus.find((answer) => answer.reason === reason) ??
    ofStatus.find((answer) => answer.reason === undefined) ?? {
      status,
      outcome: status >= 500 ? "retry" : "refused",
      meaning: "not documented",
    }
  );
}

/** What became of an attempt, by its row and what the answer itself says. */
export function outcomeOf(
  answer: PushAnswer,
  said: { reason?: string; retryAfterMs?: number; goneSinceMs?: number } = {},
): PushOutcome {
  const { outcome } = answer;
  if (outcome === "sent") return { outcome };
  if (outcome === "refused") return { outcome, reason: said.reason || `status ${answer.status}` };
  if (outcome === "gone") {
    const { goneSinceMs: sinceMs } = said;
    return sinceMs === undefined ? { outcome } : { outcome, sinceMs };
  }
  const afterMs = said.retryAfterMs ?? answer.afterMs;
  return afterMs === undefined ? { outcome } : { outcome, afterMs };
}

/** No answer asks for a longer pause than this and is believed. */
const retryAfterMsMax = 3_600_000;

/** Retry-After (RFC 9110, section 10.2.3): seconds, or a date; undefined: none, or unreadable. */
export function retryAfterMsOf(header: string | undefined, nowMs: number): number | undefined {
  if (!header) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - nowMs;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), retryAfterMsMax);
}
