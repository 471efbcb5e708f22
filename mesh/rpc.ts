/**
 * The shapes of calls: what a service implements and what a caller holds. `serve.ts` and
 * `dial.ts` put them on grpc-js.
 */
import type {
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";

/** Who asks, as the edge or the service itself has verified. */
export interface Identity {
  userId: string;
  deviceId: string;
}

/** What a handler knows of the call besides the request. */
export interface CallContext {
  /** The device that asks; undefined for calls between services and for CALLER_ANYONE. */
  readonly identity: Identity | undefined;
  /** When the caller stops waiting, in milliseconds since 1970. */
  readonly deadlineMs: number;
  /** Aborts when the caller has gone or the deadline has passed. */
  readonly signal: AbortSignal;
  /** W3C trace context; empty: not traced. */
  readonly traceParent: string;
  /** The address of the client, as the edge or this server saw it; empty where none is known. */
  readonly clientAddress: string;
}

/** Answers one unary method. */
export type UnaryHandler<M extends DescMethodUnary> = (
  request: MessageShape<M["input"]>,
  context: CallContext,
) => Promise<MessageInitShape<M["output"]>>;

/** One open stream, seen from either side. `In` is what arrives. */
export interface DuplexStream<In, Out> {
  /** Set before the first turn of the event loop ends. Must not throw. */
  onMessage: (message: In) => void;
  /** Called once, when no message follows, with the reason if it is a failure. */
  onClose: (error: Error | undefined) => void;
  /** Writes; false when more than the buffer's limit is waiting: wait for `onDrain`. */
  write(message: Out): boolean;
  /** Called when writing makes sense again after `write` returned false. */
  onDrain: () => void;
  /** No message follows from this side. */
  end(): void;
}

/** Serves one bidirectional stream. */
export type DuplexHandler<M extends DescMethodBiDiStreaming> = (
  stream: DuplexStream<MessageShape<M["input"]>, MessageInitShape<M["output"]>>,
  context: CallContext,
) => void;

/** The responses of one server-streaming call, as the service writes them. */
export interface ResponseStream<Out> {
  /** Called once, when nothing more can be written, whoever ended it. Set it at once. */
  onClose: () => void;
  /**
   * Writes, after all that was written before. `onWritten` is called when the response has left
   * for the network; until then it waits in memory, and how much may is the service's to limit.
   */
  write(response: Out, onWritten?: () => void): void;
  /** Ends the call, with what was thrown as a failed one. Who reads no more is cut off soon. */
  end(thrown?: unknown): void;
}

/** Serves one server-streaming call. What it throws ends the call. */
export type ServerStreamHandler<M extends DescMethodServerStreaming> = (
  request: MessageShape<M["input"]>,
  responses: ResponseStream<MessageInitShape<M["output"]>>,
  context: CallContext,
) => Promise<void>;

/** Implements every method of a service. */
export type Handlers<S extends DescService> = {
  [K in keyof S["method"]]: S["method"][K] extends DescMethodUnary
    ? UnaryHandler<S["method"][K]>
    : S["method"][K] extends DescMethodBiDiStreaming
      ? DuplexHandler<S["method"][K]>
      : S["method"][K] extends DescMethodServerStreaming
        ? ServerStreamHandler<S["method"][K]>
        : never;
};

/** How a unary call is made. */
export interface CallOptions {
  /** On whose behalf; unset: the calling service's own. */
  identity?: Identity;
  /** At most this long; unset or more than the method's deadline: the method's. */
  timeoutMs?: number;
  traceParent?: string;
  clientAddress?: string;
}

/** Calls the unary methods of a service, on an instance that the mesh picks. */
export type Client<S extends DescService> = {
  [K in keyof S["method"] as S["method"][K] extends DescMethodUnary
    ? K
    : never]: S["method"][K] extends DescMethodUnary
    ? (
        request: MessageInitShape<S["method"][K]["input"]>,
        options?: CallOptions,
      ) => Promise<MessageShape<S["method"][K]["output"]>>
    : never;
};

/** What a process holds of the others: made by `dial.ts`. */
export interface Mesh {
  /** Typed unary calls. */
  client<S extends DescService>(service: S): Client<S>;

  /**
   * Makes one unary call: picks the instance (the request's `route_by` field decides, else round
   * robin), keeps the deadline, retries UNAVAILABLE where the method is idempotent.
   * @throws RpcError
   */
  call<M extends DescMethodUnary>(
    method: M,
    request: MessageShape<M["input"]>,
    options?: CallOptions,
  ): Promise<MessageShape<M["output"]>>;

  /** The ids of the instances that serve it now. */
  instanceIds(service: DescService): readonly string[];

  /** Calls back when the instances of a service change, and once soon after the call. */
  watchInstances(service: DescService, onChange: (instanceIds: readonly string[]) => void): void;

  /** Opens a stream to one instance. Failures arrive at `onClose`. */
  openStream<M extends DescMethodBiDiStreaming>(
    method: M,
    instanceId: string,
  ): DuplexStream<MessageShape<M["output"]>, MessageInitShape<M["input"]>>;

  /** Ends all calls and connections. */
  close(): Promise<void>;
}
