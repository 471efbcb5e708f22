import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../gen/google/rpc/error_details_pb.js";
import { toCallError } from "./call-error.ts";

/** What an HTTP caller is told of a failed call: a Connect error with the details of google.rpc. */
export function toConnectError(thrown: unknown): ConnectError {
  const { code, reason, message, details } = toCallError(thrown);
  const info = { desc: ErrorInfoSchema, value: { reason, domain: "parley" } };
  // Connect's codes are gRPC's.
  const error = new ConnectError(message, code as number as ConnectCode, undefined, [info]);
  if (details.fieldViolations?.length) {
    const value = { fieldViolations: [...details.fieldViolations] };
    error.details.push({ desc: BadRequestSchema, value });
  }
  if (details.retryAfterMs) {
    const value = { retryDelay: durationFromMs(details.retryAfterMs) };
    error.details.push({ desc: RetryInfoSchema, value });
  }
  return error;
}
