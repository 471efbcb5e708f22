import type { DescMethod, DescMethodUnary } from "@bufbuild/protobuf";
import { MessageService } from "../gen/parley/message/v1/message_service_pb.js";
import { PresenceService } from "../gen/parley/presence/v1/presence_service_pb.js";
import { Caller } from "../gen/parley/rpc/v1/method_rules_pb.js";
import { SessionService } from "../gen/parley/session/v1/session_service_pb.js";
import { DomainError } from "../mesh/errors.ts";
import { methodPath, methodPolicy } from "../mesh/methods.ts";

/** A method that callers outside may use, and whether they must be signed in. */
export interface PublicMethod {
  method: DescMethodUnary;
  /** "parley.message.v1.MessageService/SendMessage" */
  name: string;
  needsIdentity: boolean;
}

/** Every public method, by its name; made from the rules that stand in the contracts. */
export const publicMethods: ReadonlyMap<string, PublicMethod> = new Map(
  allMethods()
    .filter((method): method is DescMethodUnary => method.methodKind === "unary")
    .filter((method) => methodPolicy(method).caller !== Caller.UNSPECIFIED)
    .map((method) => {
      const name = methodName(method);
      const needsIdentity = methodPolicy(method).caller === Caller.DEVICE;
      return [name, { method, name, needsIdentity }];
    }),
);

/** What a device calls to log out. */
export const logOutMethod: string = methodName(SessionService.method.logOut);

/** Finds a public method. @throws DomainError METHOD_UNKNOWN, METHOD_NOT_PUBLIC */
export function findPublicMethod(name: string): PublicMethod {
  const found = publicMethods.get(name);
  if (found) return found;
  const known = allMethods().find((method) => methodName(method) === name);
  if (known) {
    const isInternal = methodPolicy(known).caller === Caller.UNSPECIFIED;
    const why = isInternal ? "only for services" : "a stream, which only gRPC carries";
    throw new DomainError("METHOD_NOT_PUBLIC", `${name} is ${why}`);
  }
  throw new DomainError("METHOD_UNKNOWN", `there is no method "${name.slice(0, 200)}"`);
}

function allMethods(): DescMethod[] {
  return [MessageService, PresenceService, SessionService].flatMap((service) => service.methods);
}

function methodName(method: DescMethod): string {
  return methodPath(method).slice(1);
}
