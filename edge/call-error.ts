import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ErrorSchema } from "../gen/parley/rpc/v1/error_pb.js";
import { Code, RpcError, retryAfterMsDefault, toRpcError } from "../mesh/errors.ts";

/** What a device is told of a failed call: a service's answer as it is, else as everywhere. */
export function toCallError(thrown: unknown): RpcError {
  return thrown instanceof RpcError ? thrown : toRpcError(thrown);
}

/** The same as frames carry it. */
export function toFrameError(thrown: unknown): MessageInitShape<typeof ErrorSchema> {
  const { code, reason, message, details } = toCallError(thrown);
  return {
    code,
    reason,
    message,
    fieldViolations: [...(details.fieldViolations ?? [])],
    retryAfterMs: details.retryAfterMs ?? 0,
  };
}

/** One connection has too much unanswered. */
export function tooMany(what: "calls" | "sends", limit: number): RpcError {
  const text = `${limit} ${what} of this connection are unanswered, the limit`;
  const retryAfterMs = retryAfterMsDefault;
  return new RpcError(Code.RESOURCE_EXHAUSTED, "OVERLOADED", text, { retryAfterMs });
}
