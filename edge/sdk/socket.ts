/**
 * One connection to an edge, from Hello to its end: frames, answers to calls and sends,
 * heartbeats. Knows nothing of what comes after it.
 */
import { Code, type ConnectError } from "@connectrpc/connect";
import type { Result, SendResult, Welcome } from "../../gen/parley/edge/v1/frame_pb.js";
import { sdkError } from "./errors.ts";
import type { ClientFrameContent, FrameFormat, ServerFrameContent } from "./frames.ts";
import type { Timers } from "./timers.ts";

/** The part of the WebSocket interface that is used. */
export interface WebSocketLike {
  binaryType: string;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: (() => void) | null;
  send(data: Uint8Array<ArrayBuffer> | string): void;
  close(code?: number, reason?: string): void;
}

/** A constructor of WebSockets; the global `WebSocket` and that of `ws` fit. */
export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;

/** What a connection needs. */
export interface SocketOptions {
  /** Opens what carries the frames. @throws what a constructor of WebSockets does */
  open(): WebSocketLike;
  format: FrameFormat;
  hello: Extract<ClientFrameContent, { case: "hello" }>["value"];
  timers: Timers;
}

/** What becomes of a connection. */
export interface SocketHandlers {
  /** It is signed in; over HTTP perhaps once more, where the edge that it was signed in to is gone. */
  onWelcome(welcome: Welcome): void;
  /** Any frame that answers nothing. */
  onFrame(frame: ServerFrameContent): void;
  /** It is over; called once. Code 1006 stands for all that is no close frame of the edge's. */
  onEnd(end: SocketEnd): void;
}

/** How a connection ended. */
export interface SocketEnd {
  code: number;
  reason: string;
}

/** From opening to Welcome. */
const welcomeTimeoutMs = 15_000;
/** Heartbeats without a sign of the edge after which it counts as gone. */
const silentHeartbeatsMax = 3;
/** A close code for programs: RFC 6455 leaves 3000 to 3999 to libraries. */
const givenUp = 3_000;

/** A frame that has an answer. */
export type Question = Extract<ClientFrameContent, { case: "call" | "send" }>;
type Answer = Result | SendResult;

interface Unanswered {
  answer(answer: Answer): void;
  fail(error: unknown): void;
}

/** One connection. */
export class Socket {
  private readonly options: SocketOptions;
  private readonly handlers: SocketHandlers;
  private readonly webSocket: WebSocketLike;
  private readonly unanswered = new Map<number, Unanswered>();
  private lastRequestId = 0;
  private silentHeartbeats = 0;
  private timer: { cancel(): void };
  private ended = false;

  constructor(options: SocketOptions, handlers: SocketHandlers) {
    this.options = options;
    this.handlers = handlers;
    const { hello, timers } = options;
    this.webSocket = options.open();
    this.webSocket.binaryType = "arraybuffer";
    this.webSocket.onopen = () => this.tell({ case: "hello", value: hello });
    this.webSocket.onmessage = ({ data }) => this.receive(data);
    this.webSocket.onclose = ({ code, reason }) => this.end({ code, reason });
    // A close event follows, and says as little.
    this.webSocket.onerror = () => {};
    this.timer = timers.setTimer(welcomeTimeoutMs, () =>
      this.giveUp(`no Welcome within ${welcomeTimeoutMs} ms`),
    );
  }

  /**
   * Asks, and resolves with the answer; the request id is filled in.
   * @throws ConnectError CONNECTION_LOST (the outcome is unknown), FRAME_TOO_LARGE, the signal's
   * reason
   */
  ask(question: Question, signal: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      if (this.ended) return reject(connectionLost());
      const requestId = this.nextRequestId();
      const forget = () => {
        this.unanswered.delete(requestId);
        signal.removeEventListener("abort", onAbort);
      };
      const fail = (error: unknown) => {
        forget();
        reject(error);
      };
      const onAbort = () => fail(signal.reason);
      const answer = (answer: Answer) => {
        forget();
        resolve(answer);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.unanswered.set(requestId, { answer, fail });
      try {
        this.tell({ ...question, value: { ...question.value, requestId } } as ClientFrameContent);
      } catch (error) {
        fail(error);
      }
    });
  }

  /** Sends a frame that has no answer. @throws ConnectError FRAME_TOO_LARGE */
  tell(frame: ClientFrameContent): void {
    if (this.ended) return;
    const { format } = this.options;
    const data = format.encode(frame);
    // A string has at least as many bytes as UTF-16 units, and at most three times as many.
    if (data.length * (typeof data === "string" ? 3 : 1) > format.frameBytesMax) {
      const bytes = typeof data === "string" ? new TextEncoder().encode(data).length : data.length;
      if (bytes > format.frameBytesMax) throw frameTooLarge(bytes, format.frameBytesMax);
    }
    this.webSocket.send(data);
  }

  /** Ends the connection from this side, with or without the other's help. */
  giveUp(reason: string): void {
    if (this.ended) return;
    this.webSocket.close(givenUp);
    this.end({ code: 1006, reason });
  }

  private receive(data: unknown): void {
    if (this.ended) return;
    this.silentHeartbeats = 0;
    let frame: ServerFrameContent;
    try {
      frame = this.options.format.decode(data);
    } catch (error) {
      this.giveUp(`a frame that can't be read: ${error}`);
      return;
    }
    switch (frame.case) {
      case "welcome":
        this.beat(frame.value.heartbeatIntervalMs);
        this.handlers.onWelcome(frame.value);
        break;
      case "result":
      case "sendResult":
        this.unanswered.get(frame.value.requestId)?.answer(frame.value);
        break;
      default:
        this.handlers.onFrame(frame);
    }
  }

  private beat(intervalMs: number): void {
    this.timer.cancel();
    this.timer = this.options.timers.setTimer(Math.max(intervalMs, 500), () => {
      if (++this.silentHeartbeats > silentHeartbeatsMax) {
        this.giveUp(`nothing heard for ${silentHeartbeatsMax} heartbeats`);
        return;
      }
      this.tell({ case: "heartbeat", value: {} });
      this.beat(intervalMs);
    });
  }

  private end(end: SocketEnd): void {
    if (this.ended) return;
    this.ended = true;
    this.timer.cancel();
    const { webSocket } = this;
    webSocket.onopen = null;
    webSocket.onmessage = null;
    webSocket.onclose = null;
    for (const { fail } of [...this.unanswered.values()]) fail(connectionLost());
    this.handlers.onEnd(end);
  }

  private nextRequestId(): number {
    do {
      this.lastRequestId = (this.lastRequestId + 1) % 2 ** 32;
    } while (this.unanswered.has(this.lastRequestId));
    return this.lastRequestId;
  }
}

function connectionLost(): ConnectError {
  return sdkError("CONNECTION_LOST", Code.Unavailable, "the connection was lost");
}

function frameTooLarge(bytes: number, limit: number): ConnectError {
  const message = `the frame has ${bytes} bytes; the limit is ${limit}`;
  return sdkError("FRAME_TOO_LARGE", Code.InvalidArgument, message);
}
