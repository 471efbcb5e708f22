/** grpc-js' stream objects as {@link DuplexStream}s, for both sides. */
import type { ClientDuplexStream, ServerDuplexStream, ServiceError } from "@grpc/grpc-js";
import { Code, RpcError } from "./errors.ts";
import type { DuplexStream } from "./rpc.ts";
import { errorFromStatus } from "./status-details.ts";

type GrpcStream<In, Out> = ClientDuplexStream<Out, In> | ServerDuplexStream<In, Out>;

/** Wraps an open stream of either side. */
export class GrpcDuplex<In, Out> implements DuplexStream<In, Out> {
  onMessage: (message: In) => void = () => {};
  onClose: (error: Error | undefined) => void = () => {};
  onDrain: () => void = () => {};
  private readonly stream: GrpcStream<In, Out>;
  private closed = false;

  constructor(stream: GrpcStream<In, Out>) {
    this.stream = stream;
    stream.on("data", (message: In) => this.onMessage(message));
    stream.on("end", () => this.close(undefined));
    stream.on("drain", () => this.onDrain());
    stream.on("error", (error: ServiceError) => this.close(asRpcError(error)));
    stream.on("cancelled", () => this.close(cancelled()));
    stream.on("close", () => this.close(cancelled()));
  }

  write(message: Out): boolean {
    if (this.closed) return true;
    return (this.stream as ServerDuplexStream<In, Out>).write(message);
  }

  end(): void {
    if (!this.closed) this.stream.end();
  }

  /** Once; what follows is an echo of the same end. */
  private close(error: Error | undefined): void {
    if (this.closed) return;
    this.closed = true;
    this.stream.end();
    this.onClose(error);
  }
}

function asRpcError(error: ServiceError): Error {
  return error.code === undefined
    ? error
    : errorFromStatus(error.code, error.details, error.metadata);
}

function cancelled(): RpcError {
  return new RpcError(Code.CANCELLED, "CANCELLED", "the other side has ended the stream");
}
