import type { ServerResponse } from "node:http";
import { create, toJsonString } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../gen/google/rpc/error_details_pb.js";
import { ErrorSchema } from "../gen/parley/rpc/v1/error_pb.js";
import { Code } from "../mesh/errors.ts";
import { toCallError, toFrameError } from "./call-error.ts";

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

/** Answers a request for frames that failed as a whole: a parley.rpc.v1.Error in JSON. */
export function answerError(response: ServerResponse, thrown: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const error = create(ErrorSchema, toFrameError(thrown));
  response.writeHead(statuses[error.code] ?? 500, { "content-type": "application/json" });
  response.end(toJsonString(ErrorSchema, error));
}

const statuses: Readonly<Record<number, number>> = {
  [Code.INVALID_ARGUMENT]: 400,
  [Code.UNAUTHENTICATED]: 401,
  [Code.NOT_FOUND]: 404,
  [Code.RESOURCE_EXHAUSTED]: 429,
  [Code.UNAVAILABLE]: 503,
};
