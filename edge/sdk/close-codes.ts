/**
 * What a client does about the code that a connection was closed with. Only classes and the few
 * codes that need an answer of their own are known here, so that a new code needs no new SDK:
 * 4000 to 4499 come back, 4500 to 4999 don't come back by themselves, and anything else is a
 * fault of the way between.
 */

/** RFC 6455: the edge is restarting; there are others. */
const serviceRestart = 1012;
/** The edge's code for an access token that has expired. */
const tokenExpired = 4005;
/** The edge's codes for a sign-in that is over: TOKEN_INVALID, TOKEN_REVOKED, LOGGED_OUT. */
const signedOutCodes: readonly number[] = [4502, 4503, 4504];

/** What to do after a connection has ended. */
export type AfterClose =
  /** Come back, with backoff. */
  | "reconnect"
  /** Come back within the time that the reason names; the backoff begins anew. */
  | "reconnectWithin"
  /** Refresh the tokens and come back, with backoff. */
  | "refreshTokens"
  /** The device is not signed in any more. */
  | "signOut"
  /** Don't come back. */
  | "stop";

/** The answer to a close code. */
export function afterClose(code: number): AfterClose {
  if (code === serviceRestart) return "reconnectWithin";
  if (code === tokenExpired) return "refreshTokens";
  if (signedOutCodes.includes(code)) return "signOut";
  return code >= 4500 && code <= 4999 ? "stop" : "reconnect";
}

/** Where a close reason sends the client; undefined: nowhere. */
export function nextEdge(reason: string): string | undefined {
  return / edge=(https?:\/\/\S+)$/.exec(reason)?.[1];
}

/** The `retry_after_ms` that a close reason names; 0: none. */
export function retryAfterMs(reason: string): number {
  return Number(/retry_after_ms=(\d{1,6})/.exec(reason)?.[1] ?? 0);
}
