/**
 * Who makes a call. The mesh's own processes sign each; anybody else is let in to the public
 * methods alone, with an access token where the contract wants a device, and only so much at once.
 */
import type { Message } from "@bufbuild/protobuf";
import type * as grpc from "@grpc/grpc-js";
import { Caller as CallerRule } from "../gen/parley/rpc/v1/method_rules_pb.js";
import type { AccessToken } from "./access-token.ts";
import type { AccessTokenChecks } from "./access-token-checks.ts";
import type { Clock } from "./clock.ts";
import { DomainError, fieldInvalid } from "./errors.ts";
import { meshMetadataKey, verifyCall } from "./identity.ts";
import type { MethodDefinition } from "./method-definition.ts";
import type { MethodPolicy } from "./methods.ts";
import type { Identity } from "./rpc.ts";

/** A call with one request, as grpc-js has it. */
export type SingleRequestCall =
  | grpc.ServerUnaryCall<Message, object>
  | grpc.ServerWritableStream<Message, object>;

/** Who makes a call. */
export interface Caller {
  identity: Identity | undefined;
  /** Whether the mesh itself calls: only then is what the call says of others believed. */
  isInside: boolean;
  /** What a device from outside has shown. */
  token: AccessToken | undefined;
}

/** How long who was shed should wait. */
export const shedRetryAfterMs = 200;

/** Calls from outside under way in one server: as many as an edge takes over HTTP. */
const outsideCallsMax = 1_000;
/** Calls of one device under way in one server: as many sends as one connection of an edge has. */
const deviceCallsMax = 256;
/** A request from outside: as large as a Protobuf frame. */
const outsideRequestBytesMax = 512 * 1024;
/** Longer than any access token with its scheme. */
const authorizationLengthMax = 2_048;

/** The callers of one server. */
export class Callers {
  private readonly options;
  private readonly largeRequests = new WeakSet<Message>();
  private readonly callsOfDevices = new Map<string, number>();
  private outsideCalls = 0;

  constructor(options: {
    meshSecret: string;
    clock: Clock;
    tokens: Pick<AccessTokenChecks, "verify"> | undefined;
  }) {
    this.options = options;
  }

  /** The method's definition, but requests that are too large from outside are remembered. */
  measured(definition: MethodDefinition): MethodDefinition {
    const requestDeserialize = (bytes: Buffer) => {
      const request = definition.requestDeserialize(bytes);
      if (bytes.length > outsideRequestBytesMax) this.largeRequests.add(request);
      return request;
    };
    return { ...definition, requestDeserialize };
  }

  /**
   * The caller, if it is the mesh; undefined: somebody else.
   * @throws DomainError TOKEN_INVALID where it only pretends to be.
   */
  inside(call: { metadata: grpc.Metadata; getPath(): string }): Caller | undefined {
    const [line] = call.metadata.get(meshMetadataKey);
    if (typeof line !== "string") return undefined;
    const { meshSecret, clock } = this.options;
    const identity = verifyCall(meshSecret, call.getPath(), line, clock.nowMs());
    if (identity === "refused") {
      const text = `the ${meshMetadataKey} metadata is not signed by this mesh`;
      throw new DomainError("TOKEN_INVALID", text);
    }
    return { identity, isInside: true, token: undefined };
  }

  /**
   * Lets in who calls from outside; `leave` follows when the call is answered.
   * @throws DomainError METHOD_INTERNAL, OVERLOADED, FIELD_INVALID (the request is too large), or
   * as {@link AccessTokenChecks.verify}.
   */
  async admit(call: SingleRequestCall, policy: MethodPolicy): Promise<Caller> {
    const { tokens } = this.options;
    if (!tokens || policy.caller === CallerRule.UNSPECIFIED) throw notForOutside(call.metadata);
    if (this.outsideCalls >= outsideCallsMax) {
      throw overloaded(`${outsideCallsMax} calls from outside are under way`);
    }
    if (this.largeRequests.has(call.request)) {
      throw fieldInvalid("request", `is larger than ${outsideRequestBytesMax} bytes, the limit`);
    }
    this.outsideCalls++;
    try {
      if (policy.caller === CallerRule.ANYONE) {
        return { identity: undefined, isInside: false, token: undefined };
      }
      const token = await tokens.verify(bearerToken(call.metadata));
      this.countDevice(token.deviceId);
      const { userId, deviceId } = token;
      return { identity: { userId, deviceId }, isInside: false, token };
    } catch (error) {
      this.outsideCalls--;
      throw error;
    }
  }

  /** The caller's call has been answered. */
  leave({ isInside, token }: Caller): void {
    if (isInside) return;
    this.outsideCalls--;
    if (!token) return;
    const left = this.callsOfDevices.get(token.deviceId)! - 1;
    if (left === 0) this.callsOfDevices.delete(token.deviceId);
    else this.callsOfDevices.set(token.deviceId, left);
  }

  private countDevice(deviceId: string): void {
    const calls = this.callsOfDevices.get(deviceId) ?? 0;
    if (calls >= deviceCallsMax) {
      throw overloaded(`${deviceCallsMax} calls of this device are under way`);
    }
    this.callsOfDevices.set(deviceId, calls + 1);
  }
}

/** Too much is asked of this server at once. */
export function overloaded(why: string): DomainError {
  return new DomainError("OVERLOADED", `${why}, the limit`, { retryAfterMs: shedRetryAfterMs });
}

/** Why a call without the mesh's signature is refused where only the mesh may call. */
export function notForOutside(metadata: grpc.Metadata): DomainError {
  return bearerToken(metadata) === ""
    ? new DomainError("TOKEN_MISSING", `the call carries no ${meshMetadataKey} metadata`)
    : new DomainError("METHOD_INTERNAL", "the method is only for services");
}

/** The token of `authorization: Bearer <token>`; empty: there is none. */
function bearerToken(metadata: grpc.Metadata): string {
  const [value] = metadata.get("authorization");
  if (typeof value !== "string" || value.length > authorizationLengthMax) return "";
  const [scheme, token] = value.split(" ");
  return scheme?.toLowerCase() === "bearer" ? (token ?? "") : "";
}
