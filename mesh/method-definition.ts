/** The methods of the contracts as grpc-js wants them, for both sides of a call. */
import { create, type DescMethod, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import type * as grpc from "@grpc/grpc-js";
import { methodPath } from "./methods.ts";
import { asBuffer } from "./status-details.ts";

/** A method with its codecs. */
export type MethodDefinition = grpc.MethodDefinition<Message, Message>;

const definitions = new WeakMap<DescMethod, MethodDefinition>();

/** The method's definition, made once. */
export function methodDefinition(method: DescMethod): MethodDefinition {
  let definition = definitions.get(method);
  if (!definition) {
    definition = define(method);
    definitions.set(method, definition);
  }
  return definition;
}

function define(method: DescMethod): MethodDefinition {
  const { input, output } = method;
  return {
    path: methodPath(method),
    requestStream:
      method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream:
      method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: (message) => asBuffer(toBinary(input, create(input, message))),
    requestDeserialize: (bytes) => fromBinary(input, bytes),
    responseSerialize: (message) => asBuffer(toBinary(output, create(output, message))),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  };
}
