/**
 * Errors as apps see them: always a ConnectError, whether the call went over HTTP or a socket,
 * with google.rpc details.
 */
import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.js";
import type { Error as FrameError } from "../../gen/parley/rpc/v1/error_pb.js";

/** Why the SDK itself fails a call or a send. */
export type SdkReason =
  | "CONNECTION_LOST"
  | "TIMED_OUT"
  | "CLIENT_CLOSED"
  | "SIGNED_OUT"
  | "TOO_MUCH_WAITING"
  | "FRAME_TOO_LARGE"
  | "TEXT_EMPTY"
  | "TEXT_TOO_LONG";

/** The stable reason of an error, "USERNAME_TAKEN" for example; empty: it has none. */
export function errorReason(error: unknown): string {
  return ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.reason ?? "";
}

/** How long the server asks to wait before another try, in milliseconds; 0: it doesn't. */
export function errorRetryAfterMs(error: unknown): number {
  const [info] = ConnectError.from(error).findDetails(RetryInfoSchema);
  return info?.retryDelay ? durationMs(info.retryDelay) : 0;
}

/** An error of the SDK's own. */
export function sdkError(reason: SdkReason, code: Code, message: string): ConnectError {
  return new ConnectError(message, code, undefined, [errorInfo(reason)]);
}

/** An error that came in a frame. */
export function fromFrameError(error: FrameError): ConnectError {
  const { code, reason, message, fieldViolations, retryAfterMs } = error;
  const details: ConnectError["details"] = [errorInfo(reason)];
  if (fieldViolations.length > 0) {
    const value = {
      fieldViolations: fieldViolations.map(({ field, description }) => ({ field, description })),
    };
    details.push({ desc: BadRequestSchema, value });
  }
  if (retryAfterMs > 0) {
    details.push({ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(retryAfterMs) } });
  }
  const known = code in Code ? (code as Code) : Code.Unknown;
  const made = new ConnectError(message, known);
  made.details = details;
  return made;
}

/** What another try may mend. */
export function isTransient(error: unknown): boolean {
  return transientCodes.has(ConnectError.from(error).code);
}

/** What is nobody's plan: a fault of the server's, of unknown outcome, that may well persist. */
export function isFault(error: unknown): boolean {
  return faultCodes.has(ConnectError.from(error).code);
}

/** UNAUTHENTICATED is for the connection to mend: it refreshes the tokens, or is signed out. */
const transientCodes = new Set([
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.ResourceExhausted,
  Code.Aborted,
  Code.Canceled,
  Code.Unauthenticated,
]);
const faultCodes = new Set([Code.Internal, Code.Unknown, Code.DataLoss]);

function errorInfo(reason: string) {
  return { desc: ErrorInfoSchema, value: { reason, domain: "parley" } };
}
