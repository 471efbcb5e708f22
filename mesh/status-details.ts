/** An error as gRPC carries it: the status code, the text and google.rpc details. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyPack, anyUnpack, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { Metadata } from "@grpc/grpc-js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
  StatusSchema,
} from "../gen/google/rpc/error_details_pb.js";
import { Code, type ErrorDetails, RpcError, retryAfterMsDefault } from "./errors.ts";

const metadataKey = "grpc-status-details-bin";

/** The trailers of a failed call. */
export function errorTrailers(error: RpcError): Metadata {
  const { fieldViolations, retryAfterMs } = error.details;
  const info = create(ErrorInfoSchema, { reason: error.reason, domain: "parley" });
  const details = [anyPack(ErrorInfoSchema, info)];
  if (fieldViolations?.length) {
    const bad = create(BadRequestSchema, { fieldViolations: [...fieldViolations] });
    details.push(anyPack(BadRequestSchema, bad));
  }
  if (retryAfterMs) {
    const retry = create(RetryInfoSchema, { retryDelay: durationFromMs(retryAfterMs) });
    details.push(anyPack(RetryInfoSchema, retry));
  }
  const status = create(StatusSchema, { code: error.code, message: error.message, details });
  const trailers = new Metadata();
  trailers.set(metadataKey, asBuffer(toBinary(StatusSchema, status)));
  return trailers;
}

/**
 * What a failed call says. Without details it was not a service of ours that answered: the reason
 * is then the name of the code, or UNREACHABLE, which may be tried again, where the way there broke.
 */
export function errorFromStatus(code: number, text: string, trailers: Metadata): RpcError {
  let known = code in codeNames ? (code as Code) : Code.UNKNOWN;
  // What grpc-js makes of a connection that ends under a call ("Received RST_STREAM with code 2").
  if (known === Code.INTERNAL && trailers.get(metadataKey).length === 0) known = Code.UNAVAILABLE;
  let reason: string = known === Code.UNAVAILABLE ? "UNREACHABLE" : codeNames[known];
  const details: ErrorDetails =
    known === Code.UNAVAILABLE ? { retryAfterMs: retryAfterMsDefault } : {};
  for (const bytes of trailers.get(metadataKey)) {
    if (typeof bytes === "string") continue;
    for (const any of decodeDetails(bytes)) {
      const info = anyUnpack(any, ErrorInfoSchema);
      if (info) reason = info.reason;
      const bad = anyUnpack(any, BadRequestSchema);
      if (bad) details.fieldViolations = bad.fieldViolations;
      const retry = anyUnpack(any, RetryInfoSchema);
      if (retry?.retryDelay) details.retryAfterMs = durationMs(retry.retryDelay);
    }
  }
  return new RpcError(known, reason, text, details);
}

/** The same bytes as a Buffer, without a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const codeNames = Object.fromEntries(
  Object.entries(Code).map(([name, code]) => [code, name]),
) as Record<Code, keyof typeof Code>;

/** Details of a peer that writes something else are no reason to lose the status. */
function decodeDetails(bytes: Uint8Array) {
  try {
    return fromBinary(StatusSchema, bytes).details;
  } catch {
    return [];
  }
}
