import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  fromJson,
  fromJsonString,
  type JsonValue,
  type MessageInitShape,
  type MessageShape,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import {
  type CallSchema,
  ClientFrameSchema,
  type Result,
  type ServerFrame,
  ServerFrameSchema,
} from "../../gen/parley/edge/v1/frame_pb.js";

/** What a frame to the edge holds. */
export type ClientFrameContent = NonNullable<MessageInitShape<typeof ClientFrameSchema>["frame"]>;
/** What a frame from the edge holds. */
export type ServerFrameContent = ServerFrame["frame"];

/** How one subprotocol writes and reads frames. */
export interface FrameFormat {
  /** The WebSocket subprotocol. */
  readonly subprotocol: string;
  /** The size that the edge takes, in bytes. */
  readonly frameBytesMax: number;
  /** Writes a frame. */
  encode(frame: ClientFrameContent): Uint8Array<ArrayBuffer> | string;
  /** Reads a frame. @throws Error for anything that is none */
  decode(data: unknown): ServerFrameContent;
  /** Writes the request of a call. */
  encodeRequest<I extends DescMessage>(
    schema: I,
    message: MessageShape<I>,
  ): NonNullable<MessageInitShape<typeof CallSchema>["request"]>;
}

/** `parley.v1.protobuf`: binary messages. */
export const protobufFrames: FrameFormat = {
  subprotocol: "parley.v1.protobuf",
  frameBytesMax: 512 * 1024,
  encode: (frame) => toBinary(ClientFrameSchema, create(ClientFrameSchema, { frame })),
  decode(data) {
    if (!(data instanceof ArrayBuffer)) throw new Error("a text message among binary ones");
    return fromBinary(ServerFrameSchema, new Uint8Array(data)).frame;
  },
  encodeRequest: (schema, message) => ({ case: "protobuf", value: toBinary(schema, message) }),
};

/** `parley.v1.json`: ProtoJSON text messages, for a human eye on the wire. */
export const jsonFrames: FrameFormat = {
  subprotocol: "parley.v1.json",
  frameBytesMax: 1_536 * 1024,
  encode: (frame) => toJsonString(ClientFrameSchema, create(ClientFrameSchema, { frame })),
  decode(data) {
    if (typeof data !== "string") throw new Error("a binary message among text ones");
    return fromJsonString(ServerFrameSchema, data, { ignoreUnknownFields: true }).frame;
  },
  encodeRequest: (schema, message) => ({ case: "json", value: toJsonString(schema, message) }),
};

/** Over HTTP: ProtoJSON, many to a body, which is parsed already. */
export const httpFrames: FrameFormat = {
  ...jsonFrames,
  // The body is as long as a frame may be; this is what it needs besides.
  frameBytesMax: jsonFrames.frameBytesMax - 64,
  decode: (data) =>
    fromJson(ServerFrameSchema, data as JsonValue, { ignoreUnknownFields: true }).frame,
};

/** Reads the response in a result, in whichever form it came. */
export function decodeResponse<O extends DescMessage>(
  method: DescMethodUnary<DescMessage, O>,
  { case: form, value }: Exclude<Result["result"], { case: "error" }>,
): MessageShape<O> {
  if (form === "json") return fromJsonString(method.output, value, { ignoreUnknownFields: true });
  return fromBinary(method.output, value ?? new Uint8Array(0));
}
