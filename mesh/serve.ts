/**
 * Serves services over gRPC: checks who calls, keeps deadlines, sheds load, maps errors, answers
 * health checks and reflection.
 */
import {
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation } from "grpc-health-check";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.js";
import type { AccessTokenChecks } from "./access-token-checks.ts";
import type { Clock } from "./clock.ts";
import { GrpcDuplex } from "./duplex.ts";
import { Code, type CodeTable, DomainError, toRpcError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import { type MethodDefinition, methodDefinition } from "./method-definition.ts";
import { methodPath, methodPolicy } from "./methods.ts";
import type { Metrics } from "./metrics.ts";
import type { DuplexHandler, Handlers, ServerStreamHandler, UnaryHandler } from "./rpc.ts";
import { Callers, notForOutside, overloaded } from "./serve-callers.ts";
import { ServerContext } from "./serve-context.ts";
import { ResponseStreams } from "./serve-streams.ts";
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
  /** Lets devices call public methods with their access tokens; unset: only the mesh calls. */
  tokens?: AccessTokenChecks | undefined;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}

/** A listening server. */
export interface GrpcServer {
  /** "host:port" */
  readonly address: string;
  /**
   * Says NOT_SERVING to health checks, ends response streams with UNAVAILABLE, lets calls under
   * way end, then closes.
   */
  drain(graceMs: number): Promise<void>;
}

/** Unary calls under way in one server; more are answered OVERLOADED. */
const callsInFlightMax = 2_000;
/** Calls of one connection; the rest wait at the caller. More than are answered at once. */
const concurrentStreamsMax = callsInFlightMax + 500;
/** A connection from which nothing is heard is asked whether it lives, and given up. */
const keepaliveMs = 20_000;
const keepaliveTimeoutMs = 10_000;
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
    "grpc.max_concurrent_streams": concurrentStreamsMax,
    "grpc.keepalive_time_ms": keepaliveMs,
    "grpc.keepalive_timeout_ms": keepaliveTimeoutMs,
  });
  const calls = new Calls(options);
  for (const { service, handlers, codes } of options.services) {
    const definition: Record<string, MethodDefinition> = {};
    const implementation: grpc.UntypedServiceImplementation = {};
    for (const method of service.methods) {
      definition[method.localName] = calls.callers.measured(methodDefinition(method));
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
      calls.streams.drain();
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
  readonly callers: Callers;
  readonly streams: ResponseStreams;
  private readonly options: ServeOptions;
  private readonly handled;
  private readonly seconds;
  private inFlight = 0;

  constructor(options: ServeOptions) {
    this.options = options;
    const { clock, log, meshSecret, metrics, tokens } = options;
    this.callers = new Callers({ meshSecret, clock, tokens });
    this.streams = new ResponseStreams({ clock, log, tokens });
    this.handled = metrics.counter("parley_rpc_handled_total", "Calls answered", [
      "method",
      "code",
    ]);
    this.seconds = metrics.latency("parley_rpc_handling_seconds", "Time to answer a call", [
      "method",
    ]);
    metrics.gauge("parley_rpc_in_flight", "Calls under way", () => this.inFlight);
    metrics.gauge("parley_rpc_streams", "Response streams open", () => this.streams.count);
  }

  implement(method: DescMethod, handler: unknown, codes: CodeTable): grpc.UntypedHandleCall {
    switch (method.methodKind) {
      case "unary":
        return this.unary(
          method as DescMethodUnary,
          handler as UnaryHandler<DescMethodUnary>,
          codes,
        );
      case "server_streaming":
        return this.responses(
          method as DescMethodServerStreaming,
          handler as AnyStreamHandler,
          codes,
        );
      case "bidi_streaming":
        return this.duplex(
          method as DescMethodBiDiStreaming,
          handler as DuplexHandler<DescMethodBiDiStreaming>,
        );
      default:
        throw new Error(`${methodPath(method)} is ${method.methodKind}, which is not served`);
    }
  }

  private unary(
    method: DescMethodUnary,
    handler: UnaryHandler<DescMethodUnary>,
    codes: CodeTable,
  ): grpc.handleUnaryCall<Message, object> {
    const policy = methodPolicy(method);
    const name = methodPath(method).slice(1);
    const handle = async (call: grpc.ServerUnaryCall<Message, object>) => {
      if (this.inFlight > callsInFlightMax) {
        throw overloaded(`${callsInFlightMax} calls are under way`);
      }
      const caller = this.callers.inside(call) ?? (await this.callers.admit(call, policy));
      try {
        const nowMs = this.options.clock.nowMs();
        const latestMs = caller.isInside ? Number.POSITIVE_INFINITY : nowMs + policy.deadlineMs;
        const context = new ServerContext(call, caller, latestMs);
        if (context.deadlineMs <= nowMs) {
          const text = "the deadline had passed when the call arrived";
          throw new DomainError("DEADLINE_EXCEEDED", text);
        }
        return await handler(call.request, context);
      } finally {
        this.callers.leave(caller);
      }
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

  private responses(
    method: DescMethodServerStreaming,
    handler: AnyStreamHandler,
    codes: CodeTable,
  ): grpc.handleServerStreamingCall<Message, object> {
    const policy = methodPolicy(method);
    const name = methodPath(method).slice(1);
    return async (call) => {
      const onEnd = (code: number) => this.handled.inc({ method: name, code: String(code) });
      const stream = this.streams.wrap(call, codes, onEnd);
      try {
        const caller = this.callers.inside(call) ?? (await this.callers.admit(call, policy));
        this.callers.leave(caller);
        if (stream.isEnded) return;
        this.streams.keep(stream, caller.token);
        if (stream.isEnded) return;
        const context = new ServerContext(call, caller, Number.POSITIVE_INFINITY);
        await handler(call.request, stream, context);
      } catch (thrown) {
        stream.end(thrown);
      }
    };
  }

  private duplex(
    method: DescMethodBiDiStreaming,
    handler: DuplexHandler<DescMethodBiDiStreaming>,
  ): grpc.handleBidiStreamingCall<Message, Message> {
    return (call) => {
      try {
        const caller = this.callers.inside(call);
        if (!caller) throw notForOutside(call.metadata);
        const context = new ServerContext(call, caller, Number.POSITIVE_INFINITY);
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
}

type AnyStreamHandler = ServerStreamHandler<DescMethodServerStreaming>;

/** What reflection shows: the services' files, all that they import, and the details of errors. */
function fileDescriptors(services: readonly Served[]) {
  const files = new Map<string, Buffer>();
  const add = (file: DescService["file"]) => {
    if (files.has(file.name)) return;
    files.set(file.name, asBuffer(toBinary(FileDescriptorProtoSchema, file.proto)));
    for (const dependency of file.dependencies) add(dependency);
  };
  for (const { service } of services) add(service.file);
  add(file_google_rpc_error_details);
  const all = { format: "", type: {}, fileDescriptorProtos: [...files.values()] };
  return { parley: all } as unknown as ConstructorParameters<typeof ReflectionService>[0];
}
