/**
 * Serves services over gRPC: checks who calls, keeps deadlines, sheds load, maps errors, answers
 * health checks and reflection.
 */
import {
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodUnary,
  type DescService,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation } from "grpc-health-check";
import type { Clock } from "./clock.ts";
import { GrpcDuplex } from "./duplex.ts";
import { Code, type CodeTable, DomainError, toRpcError } from "./errors.ts";
import { meshMetadataKey, verifyCall } from "./identity.ts";
import type { Logger } from "./logger.ts";
import { type MethodDefinition, methodDefinition } from "./method-definition.ts";
import { methodPath } from "./methods.ts";
import type { Metrics } from "./metrics.ts";
import type { CallContext, DuplexHandler, Handlers, Identity, UnaryHandler } from "./rpc.ts";
import { asBuffer, errorTrailers } from "./status-details.ts";

/** A service with its implementation. */
export interface Served<S extends DescService = DescService> {
  service: S;
  handlers: Handlers<S>;
  /** The service's own reasons. */
  codes: CodeTable;
}

/** What a server needs. */
export interface ServeOptions {
  host: string;
  /** 0: any free port. */
  port: number;
  services: readonly Served[];
  /** The secret that the processes of the mesh share. */
  meshSecret: string;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}

/** A listening server. */
export interface GrpcServer {
  /** "host:port" */
  readonly address: string;
  /** Says NOT_SERVING to health checks, lets calls under way end, then closes. */
  drain(graceMs: number): Promise<void>;
}

/** Unary calls under way in one server; more are answered OVERLOADED. */
const callsInFlightMax = 2_000;
/** How long who was shed should wait. */
const shedRetryAfterMs = 200;
/** A message on the wire: a full history page of the longest texts is refused earlier. */
const messageBytesMax = 4 * 1024 * 1024;

/** Adds a type that `Served` of different services can share. */
export function served<S extends DescService>(
  service: S,
  handlers: Handlers<S>,
  codes: CodeTable,
): Served {
  return { service, handlers: handlers as Handlers<DescService>, codes };
}

/** Starts a server. @throws where the address can't be listened on. */
export async function serve(options: ServeOptions): Promise<GrpcServer> {
  const server = new grpc.Server({
    "grpc.max_receive_message_length": messageBytesMax,
    "grpc.max_send_message_length": messageBytesMax,
    "grpc-node.flow_control_window": 1024 * 1024,
  });
  const calls = new Calls(options);
  for (const { service, handlers, codes } of options.services) {
    const definition: Record<string, MethodDefinition> = {};
    const implementation: grpc.UntypedServiceImplementation = {};
    for (const method of service.methods) {
      definition[method.localName] = methodDefinition(method);
      implementation[method.localName] = calls.implement(
        method,
        handlers[method.localName as never],
        codes,
      );
    }
    server.addService(definition, implementation);
  }
  const health = new HealthImplementation({ "": "SERVING" });
  for (const { service } of options.services) health.setStatus(service.typeName, "SERVING");
  health.addToServer(server);
  new ReflectionService(fileDescriptors(options.services)).addToServer(server);

  const target = `${options.host}:${options.port}`;
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(target, grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  const address = `${options.host}:${port}`;
  return {
    address,
    async drain(graceMs) {
      health.setStatus("", "NOT_SERVING");
      for (const { service } of options.services) health.setStatus(service.typeName, "NOT_SERVING");
      server.drain(address, graceMs);
      await new Promise<void>((resolve) => {
        const force = setTimeout(() => server.forceShutdown(), graceMs + 100);
        server.tryShutdown(() => {
          clearTimeout(force);
          resolve();
        });
      });
    },
  };
}

/** What all calls of one server share. */
class Calls {
  private readonly options: ServeOptions;
  private readonly handled;
  private readonly seconds;
  private inFlight = 0;

  constructor(options: ServeOptions) {
    this.options = options;
    const { metrics } = options;
    this.handled = metrics.counter("parley_rpc_handled_total", "Calls answered", [
      "method",
      "code",
    ]);
    this.seconds = metrics.latency("parley_rpc_handling_seconds", "Time to answer a call", [
      "method",
    ]);
    metrics.gauge("parley_rpc_in_flight", "Calls under way", () => this.inFlight);
  }

  implement(method: DescMethod, handler: unknown, codes: CodeTable): grpc.UntypedHandleCall {
    return method.methodKind === "bidi_streaming"
      ? this.duplex(
          method as DescMethodBiDiStreaming,
          handler as DuplexHandler<DescMethodBiDiStreaming>,
        )
      : this.unary(method as DescMethodUnary, handler as UnaryHandler<DescMethodUnary>, codes);
  }

  private unary(
    method: DescMethodUnary,
    handler: UnaryHandler<DescMethodUnary>,
    codes: CodeTable,
  ): grpc.handleUnaryCall<Message, object> {
    const name = methodPath(method).slice(1);
    const handle = async (call: grpc.ServerUnaryCall<Message, object>) => {
      if (this.inFlight > callsInFlightMax) {
        throw new DomainError("OVERLOADED", `more than ${callsInFlightMax} calls are under way`, {
          retryAfterMs: shedRetryAfterMs,
        });
      }
      const context = this.context(call);
      if (context.deadlineMs <= this.options.clock.nowMs()) {
        throw new DomainError("DEADLINE_EXCEEDED", "the deadline had passed when the call arrived");
      }
      return handler(call.request, context);
    };
    return async (call, callback) => {
      const startMs = this.options.clock.monotonicMs();
      this.inFlight++;
      let code: number = grpc.status.OK;
      try {
        callback(null, await handle(call));
      } catch (thrown) {
        const error = toRpcError(thrown, codes);
        code = error.code;
        if (error.code === Code.INTERNAL) {
          this.options.log.error({ event: "call_failed", method: name, err: thrown });
        }
        callback({ code, details: error.message, metadata: errorTrailers(error) });
      } finally {
        this.inFlight--;
        this.handled.inc({ method: name, code: String(code) });
        this.seconds.observe({ method: name }, (this.options.clock.monotonicMs() - startMs) / 1000);
      }
    };
  }

  private duplex(
    method: DescMethodBiDiStreaming,
    handler: DuplexHandler<DescMethodBiDiStreaming>,
  ): grpc.handleBidiStreamingCall<Message, Message> {
    return (call) => {
      try {
        const context = this.context(call);
        handler(new GrpcDuplex<Message, Message>(call) as never, context);
      } catch (thrown) {
        const error = toRpcError(thrown);
        if (error.code === Code.INTERNAL) {
          const name = methodPath(method).slice(1);
          this.options.log.error({ event: "stream_failed", method: name, err: thrown });
        }
        const status = { code: error.code, details: error.message, metadata: errorTrailers(error) };
        call.emit("error", status);
      }
    };
  }

  private context(call: AnyServerCall): CallContext {
    return new ServerContext(call, this.identify(call));
  }

  /** @throws DomainError where the call comes from outside the mesh. */
  private identify(call: AnyServerCall): Identity | undefined {
    const [line] = call.metadata.get(meshMetadataKey);
    if (typeof line !== "string") {
      throw new DomainError("TOKEN_MISSING", `the call carries no ${meshMetadataKey} metadata`);
    }
    const { meshSecret, clock } = this.options;
    const identity = verifyCall(meshSecret, call.getPath(), line, clock.nowMs());
    if (identity === "refused") {
      throw new DomainError(
        "TOKEN_INVALID",
        `the ${meshMetadataKey} metadata is not signed by this mesh`,
      );
    }
    return identity;
  }
}

type AnyServerCall =
  | grpc.ServerUnaryCall<Message, object>
  | grpc.ServerDuplexStream<Message, Message>;

/** Makes the costly parts when they are asked for. */
class ServerContext implements CallContext {
  readonly identity: Identity | undefined;
  readonly deadlineMs: number;
  private readonly call: AnyServerCall;
  private controller: AbortController | undefined;

  constructor(call: AnyServerCall, identity: Identity | undefined) {
    this.call = call;
    this.identity = identity;
    this.deadlineMs = Number(call.getDeadline());
  }

  get signal(): AbortSignal {
    if (!this.controller) {
      const controller = new AbortController();
      this.controller = controller;
      if (this.call.cancelled) controller.abort();
      else this.call.once("cancelled", () => controller.abort());
    }
    return this.controller.signal;
  }

  get traceParent(): string {
    return this.text("traceparent");
  }

  get clientAddress(): string {
    return this.text("parley-client-address");
  }

  private text(key: string): string {
    const [value] = this.call.metadata.get(key);
    return typeof value === "string" ? value : "";
  }
}

/** What reflection shows: the services' files and all that they import. */
function fileDescriptors(services: readonly Served[]) {
  const files = new Map<string, Buffer>();
  const add = (file: DescService["file"]) => {
    if (files.has(file.name)) return;
    files.set(file.name, asBuffer(toBinary(FileDescriptorProtoSchema, file.proto)));
    for (const dependency of file.dependencies) add(dependency);
  };
  for (const { service } of services) add(service.file);
  const all = { format: "", type: {}, fileDescriptorProtos: [...files.values()] };
  return { parley: all } as unknown as ConstructorParameters<typeof ReflectionService>[0];
}
