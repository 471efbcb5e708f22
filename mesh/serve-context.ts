import type { EventEmitter } from "node:events";
import type { Message } from "@bufbuild/protobuf";
import type * as grpc from "@grpc/grpc-js";
import type { CallContext, Identity } from "./rpc.ts";
import type { Caller } from "./serve-callers.ts";

/** A call of any kind, as grpc-js has it. */
export type AnyServerCall =
  | grpc.ServerUnaryCall<Message, object>
  | grpc.ServerWritableStream<Message, object>
  | grpc.ServerDuplexStream<Message, Message>;

/** What a handler knows of a call; makes the costly parts when they are asked for. */
export class ServerContext implements CallContext {
  readonly identity: Identity | undefined;
  readonly deadlineMs: number;
  readonly clientAddress: string;
  private readonly call: AnyServerCall;
  private readonly isInside: boolean;
  private controller: AbortController | undefined;

  /** Who calls from outside may be in no hurry at all: waits end at `latestMs`. */
  constructor(call: AnyServerCall, caller: Caller, latestMs: number) {
    this.call = call;
    this.identity = caller.identity;
    this.isInside = caller.isInside;
    this.clientAddress = this.isInside ? this.told("parley-client-address") : peerAddress(call);
    this.deadlineMs = Math.min(Number(call.getDeadline()), latestMs);
  }

  get signal(): AbortSignal {
    if (!this.controller) {
      const controller = new AbortController();
      this.controller = controller;
      if (this.call.cancelled) controller.abort();
      else (this.call as EventEmitter).once("cancelled", () => controller.abort());
    }
    return this.controller.signal;
  }

  get traceParent(): string {
    return this.told("traceparent");
  }

  /** Only the mesh is believed. */
  private told(key: string): string {
    const [value] = this.isInside ? this.call.metadata.get(key) : [];
    return typeof value === "string" ? value : "";
  }
}

/** "127.0.0.1" of "127.0.0.1:41234"; IPv6 comes without brackets. */
function peerAddress(call: AnyServerCall): string {
  const peer = call.getPeer();
  return peer.slice(0, peer.lastIndexOf(":"));
}
