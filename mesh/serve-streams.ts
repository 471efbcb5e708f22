/** The server-streaming calls of one server: written to, ended one by one or all together. */
import type { Message } from "@bufbuild/protobuf";
import type * as grpc from "@grpc/grpc-js";
import type { AccessToken } from "./access-token.ts";
import type { AccessTokenChecks } from "./access-token-checks.ts";
import type { Clock, Timer } from "./clock.ts";
import { Code, type CodeTable, DomainError, toRpcError, unavailable } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { ResponseStream } from "./rpc.ts";
import { overloaded } from "./serve-callers.ts";
import { errorTrailers } from "./status-details.ts";

/** Streams that are open at once; more are answered OVERLOADED. */
const streamsMax = 10_000;
/** How long who reads slowly has for what was written before the end, and for the end itself. */
const lastReadMs = 5_000;
/** Callers of a server that shuts down come back after a random time up to this. */
const drainRetryAfterMsMax = 2_000;
/** HTTP/2's ENHANCE_YOUR_CALM, which callers see as RESOURCE_EXHAUSTED. */
const enhanceYourCalm = 0x0b;

/** What all streams of a server share. */
interface Shared {
  clock: Clock;
  log: Logger;
  tokens: Pick<AccessTokenChecks, "isRevoked" | "onRevocation"> | undefined;
}

/** The open streams of one server. */
export class ResponseStreams {
  private readonly shared: Shared;
  private readonly open = new Set<GrpcResponseStream>();
  private isDraining = false;

  constructor(shared: Shared) {
    this.shared = shared;
    shared.tokens?.onRevocation(({ userId }) => {
      for (const stream of this.open) if (stream.token?.userId === userId) this.checkToken(stream);
    });
  }

  get count(): number {
    return this.open.size;
  }

  /** Wraps a call whose caller is not known yet. */
  wrap(
    call: grpc.ServerWritableStream<Message, object>,
    codes: CodeTable,
    onEnd: (code: number) => void,
  ): GrpcResponseStream {
    const { clock, log } = this.shared;
    const onGone = (stream: GrpcResponseStream) => void this.open.delete(stream);
    return new GrpcResponseStream(call, { clock, log, codes, onEnd, onGone });
  }

  /**
   * Keeps the stream until it is gone. A token that is revoked meanwhile ends it.
   * @throws DomainError OVERLOADED, UNAVAILABLE, TOKEN_REVOKED
   */
  keep(stream: GrpcResponseStream, token: AccessToken | undefined): void {
    if (this.isDraining) throw shuttingDown();
    if (this.open.size >= streamsMax) throw overloaded(`${streamsMax} streams are open`);
    stream.token = token;
    this.open.add(stream);
    this.checkToken(stream);
  }

  /** Ends all and takes no more. */
  drain(): void {
    this.isDraining = true;
    for (const stream of this.open) stream.end(shuttingDown());
  }

  private checkToken(stream: GrpcResponseStream): void {
    const { token } = stream;
    if (!token || !this.shared.tokens?.isRevoked(token)) return;
    stream.end(new DomainError("TOKEN_REVOKED", "the device's sign-in has been ended"));
  }
}

/** One stream, on grpc-js. */
export class GrpcResponseStream implements ResponseStream<object> {
  onClose: () => void = () => {};
  /** Whose stream it is, if the caller is a device from outside. */
  token: AccessToken | undefined;
  private readonly call: grpc.ServerWritableStream<Message, object>;
  private readonly parts;
  private ended = false;
  private lastRead: Timer | undefined;

  constructor(
    call: grpc.ServerWritableStream<Message, object>,
    parts: {
      clock: Clock;
      log: Logger;
      codes: CodeTable;
      onEnd(code: number): void;
      onGone(stream: GrpcResponseStream): void;
    },
  ) {
    this.call = call;
    this.parts = parts;
    call.once("close", () => this.onCallClosed());
  }

  /** Nothing more can be written. */
  get isEnded(): boolean {
    return this.ended;
  }

  write(response: object, onWritten?: () => void): void {
    if (this.ended) return;
    this.call.write(response, (error?: Error | null) => {
      if (!error && !this.ended) onWritten?.();
    });
  }

  end(thrown?: unknown): void {
    if (this.ended) return;
    const { clock, codes, log } = this.parts;
    let code: number = 0;
    if (thrown === undefined) this.call.end();
    else {
      const error = toRpcError(thrown, codes);
      code = error.code;
      if (code === Code.INTERNAL) {
        log.error({ event: "stream_failed", method: this.call.getPath().slice(1), err: thrown });
      }
      const status = { code, details: error.message, metadata: errorTrailers(error) };
      this.call.emit("error", status);
    }
    this.lastRead = clock.setTimer(lastReadMs, () => this.cutOff());
    this.close(code);
  }

  /** All has left for the network, or the caller has gone. */
  private onCallClosed(): void {
    this.lastRead?.cancel();
    if (!this.ended) this.close(Code.CANCELLED);
    this.parts.onGone(this);
  }

  private close(code: number): void {
    this.ended = true;
    this.parts.onEnd(code);
    this.onClose();
  }

  /**
   * The end waits behind what the caller does not read. grpc-js has no way to give a stream up
   * before the caller does, so this reaches for the HTTP/2 stream below; a test holds it there.
   */
  private cutOff(): void {
    const { call } = this.call as unknown as { call: { stream: { close(code: number): void } } };
    call.stream.close(enhanceYourCalm);
  }
}

function shuttingDown(): DomainError {
  const retryAfterMs = Math.ceil(Math.random() * drainRetryAfterMsMax);
  return unavailable("this instance shuts down: go on at another", retryAfterMs);
}
