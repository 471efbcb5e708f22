/** How a call over HTTP fails: with a Connect error that has the details of google.rpc. */
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code as ConnectCode, ConnectError, type HandlerContext } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from "../gen/google/rpc/error_details_pb.js";
import { toCallError } from "./call-error.ts";
import { retryAfterSeconds } from "./http-problem.ts";
import { requestIdHeader } from "./request-id.ts";

/** What an HTTP caller is told of a failed call. */
export function toConnectError(thrown: unknown, { requestHeader }: HandlerContext): ConnectError {
  const { code, reason, message, details } = toCallError(thrown);
  // Connect's codes are gRPC's.
  const error = new ConnectError(message, code as number as ConnectCode);
  addInfo(error, reason, requestHeader);
  if (error.code === ConnectCode.Unauthenticated) error.metadata.set("www-authenticate", "Bearer");
  if (details.fieldViolations?.length) {
    const value = { fieldViolations: [...details.fieldViolations] };
    error.details.push({ desc: BadRequestSchema, value });
  }
  if (details.retryAfterMs) {
    const value = { retryDelay: durationFromMs(details.retryAfterMs) };
    error.details.push({ desc: RetryInfoSchema, value });
    error.metadata.set("retry-after", retryAfterSeconds(details.retryAfterMs));
  }
  return error;
}

/**
 * Gives what Connect itself refuses (a body that is no JSON, or too large) the same details. Such
 * an error is told to the call's signal before it is written.
 */
export function completeErrors({ signal, requestHeader }: HandlerContext): void {
  signal.addEventListener("abort", () => {
    const error: unknown = signal.reason;
    if (!(error instanceof ConnectError) || error.details.length > 0) return;
    addInfo(error, connectReasons[error.code] ?? "INTERNAL", requestHeader);
  });
}

function addInfo(error: ConnectError, reason: string, requestHeader: Headers): void {
  const requestId = requestHeader.get(requestIdHeader)!;
  error.details.push(
    { desc: ErrorInfoSchema, value: create(ErrorInfoSchema, { reason, domain: "parley" }) },
    { desc: RequestInfoSchema, value: create(RequestInfoSchema, { requestId }) },
  );
}

const connectReasons: { readonly [code in ConnectCode]?: string } = {
  [ConnectCode.InvalidArgument]: "FIELD_INVALID",
  [ConnectCode.ResourceExhausted]: "BODY_TOO_LARGE",
  [ConnectCode.Unimplemented]: "ENCODING_UNKNOWN",
};
