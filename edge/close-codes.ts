/**
 * Why the edge closes a connection: the one table. Clients go by the class of a code, so that a
 * new one needs no new client: 4000 to 4499 come back (with jittered backoff), 4500 to 4999
 * don't come back by themselves. The reason text is for people.
 */

/** The codes, with what a client does about each. */
export const CloseCode = {
  /**
   * The edge is restarting: come back within the `retry_after_ms` that the reason names, to the
   * `edge` that it may name.
   */
  SERVICE_RESTART: 1012,
  /** The edge is full: come back, to the `edge` that the reason may name. */
  TRY_AGAIN_LATER: 1013,
  /** A frame exceeds the limit of its subprotocol; the same frame will never pass. */
  MESSAGE_TOO_BIG: 1009,
  /** A fault of the edge. Come back. */
  INTERNAL_ERROR: 1011,

  /** The client read too slowly for too long. Come back. */
  SLOW_CONSUMER: 4001,
  /** Nothing was heard from the client for too long. Come back. */
  HEARTBEAT_TIMEOUT: 4002,
  /** No Hello came in time. Come back. */
  HELLO_TIMEOUT: 4003,
  /** What signing in needs is away. Come back. */
  UNAVAILABLE: 4004,
  /** The access token has expired: refresh it, then come back. */
  TOKEN_EXPIRED: 4005,

  /** A frame that can't be decoded or holds a bad value: a fault of the client. */
  BAD_FRAME: 4500,
  /** A frame out of order: the first is not Hello, or another is. A fault of the client. */
  UNEXPECTED_FRAME: 4501,
  /** No access token, or none of ours. */
  TOKEN_INVALID: 4502,
  /** The device's sign-in has been ended: sign in again. */
  TOKEN_REVOKED: 4503,
  /** The device logged out over this connection. */
  LOGGED_OUT: 4504,
  /** The same device has opened another connection. */
  REPLACED: 4505,
} as const;
/** One of the codes. */
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/** What a connection is closed with when its Hello fails for this reason. */
export const helloCloseCodes: Readonly<Record<string, CloseCode>> = {
  TOKEN_MISSING: CloseCode.TOKEN_INVALID,
  TOKEN_INVALID: CloseCode.TOKEN_INVALID,
  TOKEN_EXPIRED: CloseCode.TOKEN_EXPIRED,
  TOKEN_REVOKED: CloseCode.TOKEN_REVOKED,
  FIELD_INVALID: CloseCode.BAD_FRAME,
  UNAVAILABLE: CloseCode.UNAVAILABLE,
};

/** The name of a code: "TOKEN_EXPIRED". */
export function closeCodeName(code: CloseCode): keyof typeof CloseCode {
  const names = Object.keys(CloseCode) as (keyof typeof CloseCode)[];
  return names.find((name) => CloseCode[name] === code)!;
}

/** The status of an HTTP response that says nothing but this. */
export function httpStatus(code: CloseCode): number {
  return httpStatuses[code] ?? 503;
}

/** The others come back, as after 503. */
const httpStatuses: { readonly [code in CloseCode]?: number } = {
  [CloseCode.INTERNAL_ERROR]: 500,
  [CloseCode.MESSAGE_TOO_BIG]: 413,
  [CloseCode.BAD_FRAME]: 400,
  [CloseCode.UNEXPECTED_FRAME]: 400,
  [CloseCode.TOKEN_EXPIRED]: 401,
  [CloseCode.TOKEN_INVALID]: 401,
  [CloseCode.TOKEN_REVOKED]: 401,
  [CloseCode.LOGGED_OUT]: 401,
  [CloseCode.REPLACED]: 409,
};

/** A reason as a close frame can carry it: RFC 6455 section 5.5 leaves it 123 bytes. */
export function closeReason(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= reasonBytesMax) return text;
  // A cut character decodes to U+FFFD, three bytes; drop it rather than exceed the limit.
  return bytes
    .subarray(0, reasonBytesMax)
    .toString()
    .replace(/\uFFFD+$/, "");
}

const reasonBytesMax = 123;
