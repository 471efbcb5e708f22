import {
  create,
  type DescMethodUnary,
  fromBinary,
  fromJsonString,
  type Message,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { type Call, type Result, ResultSchema } from "../gen/parley/edge/v1/frame_pb.js";
import { fieldInvalid } from "../mesh/errors.ts";
import type { Identity, Mesh } from "../mesh/rpc.ts";
import { toFrameError } from "./call-error.ts";
import type { FrameCodec } from "./frame-codec.ts";
import { findPublicMethod } from "./public-methods.ts";

/** Who makes a call, and how it is answered. */
export interface CallOrigin {
  identity: Identity;
  clientAddress: string;
  format: FrameCodec["format"];
}

/** Makes the call of a frame. Where there is no response the result says why; never rejects. */
export async function performCall(mesh: Mesh, call: Call, origin: CallOrigin): Promise<Result> {
  const { requestId, timeoutMs } = call;
  try {
    const { method, needsIdentity } = findPublicMethod(call.method);
    const request = decodeRequest(method, call.request);
    const response = await mesh.call(method, request, {
      ...(needsIdentity && { identity: origin.identity }),
      timeoutMs,
      clientAddress: origin.clientAddress,
    });
    const result = encodeResponse(method, response, origin.format);
    return create(ResultSchema, { requestId, result });
  } catch (error) {
    const result = { case: "error", value: toFrameError(error) } as const;
    return create(ResultSchema, { requestId, result });
  }
}

/** A request without fields may be left out. */
function decodeRequest(method: DescMethodUnary, request: Call["request"]): Message {
  try {
    if (request.case === "json") {
      return fromJsonString(method.input, request.value, { ignoreUnknownFields: true });
    }
    return fromBinary(method.input, request.value ?? new Uint8Array(0));
  } catch (error) {
    const description = `not a ${method.input.typeName}: ${(error as Error).message}`;
    throw fieldInvalid(`call.${request.case}`, description.slice(0, 500));
  }
}

function encodeResponse(method: DescMethodUnary, response: Message, format: FrameCodec["format"]) {
  return format === "json"
    ? ({ case: "json", value: toJsonString(method.output, response) } as const)
    : ({ case: "protobuf", value: toBinary(method.output, response) } as const);
}
