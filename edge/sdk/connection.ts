/** The connection that is always wanted: one socket after the other, with pauses between. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { Welcome } from "../../gen/parley/edge/v1/frame_pb.js";
import { Backoff } from "./backoff.ts";
import { type AfterClose, afterClose, nextEdge, retryAfterMs } from "./close-codes.ts";
import type { EdgeAddresses } from "./edge-addresses.ts";
import { errorRetryAfterMs, sdkError } from "./errors.ts";
import { type FrameFormat, httpFrames, type ServerFrameContent } from "./frames.ts";
import { HttpSocket } from "./http-socket.ts";
import {
  Socket,
  type SocketEnd,
  type SocketHandlers,
  type SocketOptions,
  type WebSocketConstructor,
  type WebSocketLike,
} from "./socket.ts";
import { sleep, type Timers } from "./timers.ts";
import type { Tokens } from "./tokens.ts";
import { type Way, Ways } from "./ways.ts";

/** What a connection is doing. */
export type ConnectionState =
  /** Signing in. */
  | { status: "connecting" }
  /** Signed in; the id is in the edge's logs. */
  | { status: "online"; connectionId: string; way: Way }
  /** Lost, and to be tried again in `delayMs`. */
  | { status: "waiting"; delayMs: number; reason: string }
  /** The sign-in is over: log in again. Final. */
  | { status: "signedOut"; reason: string }
  /** Closed by the edge for good, or by the app. Final. */
  | { status: "stopped"; reason: string };

/** What a connection works with. */
export interface ConnectionOptions {
  WebSocket: WebSocketConstructor;
  fetch: typeof fetch;
  /** The ways that may be used, the best first. */
  ways: readonly Way[];
  /** Of the frames on a WebSocket. */
  format: FrameFormat;
  addresses: EdgeAddresses;
  tokens: Tokens;
  timers: Timers;
  random: () => number;
  /** The device's position, for every Hello anew. */
  hello(accessToken: string): SocketOptions["hello"];
  /** A socket is signed in; called before anything can be asked of it. */
  onWelcome(welcome: Welcome): void;
  onFrame(frame: ServerFrameContent): void;
  onState(state: ConnectionState): void;
}

/** Keeps one socket open. */
export class Connection {
  private readonly options: ConnectionOptions;
  private readonly backoff: Backoff;
  private readonly ways: Ways;
  private readonly stopping = new AbortController();
  /** The socket that is tried or open. */
  private tried: Socket | undefined;
  /** The same once it is signed in. */
  private socket: Socket | undefined;
  private online = deferred<Socket>();
  private pause: AbortController | undefined;
  private running: Promise<void> | undefined;

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.backoff = new Backoff(options.random);
    this.ways = new Ways(options);
  }

  /** Connects, and reconnects until {@link stop}. */
  start(): void {
    this.running ??= this.run();
  }

  /** The socket that is signed in; undefined: there is none. */
  get current(): Socket | undefined {
    return this.socket;
  }

  /** The socket that is signed in, or the next one. @throws the signal's reason, SIGNED_OUT … */
  ready(signal: AbortSignal): Promise<Socket> {
    if (this.socket) return Promise.resolve(this.socket);
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      this.online.promise
        .then(resolve, reject)
        .finally(() => signal.removeEventListener("abort", onAbort));
    });
  }

  /** The connection is well: the next loss of it waits for a first try's time. */
  settle(): void {
    this.backoff.reset();
    this.options.addresses.settle();
  }

  /** Ends a pause: the network is back, or somebody is waiting. */
  wake(): void {
    this.pause?.abort();
  }

  /** Ends the connection for good. */
  async stop(): Promise<void> {
    this.stopping.abort(sdkError("CLIENT_CLOSED", Code.Canceled, "the client was closed"));
    this.wake();
    this.tried?.giveUp("closed by the app");
    if (this.running) await this.running;
    else this.finish({ status: "stopped", reason: "closed by the app" });
  }

  private async run(): Promise<void> {
    const { options, stopping } = this;
    let refreshFirst = false;
    for (;;) {
      options.onState({ status: "connecting" });
      const { what, reason, retryAfterMs } = await this.connect(refreshFirst);
      if (stopping.signal.aborted) {
        return this.finish({ status: "stopped", reason: "closed by the app" });
      }
      if (what === "signOut") {
        await options.tokens.clear().catch(() => {});
        return this.finish({ status: "signedOut", reason });
      }
      if (what === "stop") return this.finish({ status: "stopped", reason });
      if (what === "reconnectWithin") this.backoff.reset();
      refreshFirst = what === "refreshTokens";
      const delayMs =
        what === "reconnectWithin"
          ? options.random() * (retryAfterMs || 1_000)
          : this.backoff.next(retryAfterMs);
      options.onState({ status: "waiting", delayMs, reason });
      this.pause = new AbortController();
      if (stopping.signal.aborted) this.pause.abort();
      await sleep(options.timers, delayMs, this.pause.signal).catch(() => {});
      this.pause = undefined;
    }
  }

  /** Connects once, and resolves when that is over. */
  private async connect(refreshFirst: boolean): Promise<Ended> {
    const { addresses, tokens, hello, onState, onWelcome, onFrame, timers } = this.options;
    let accessToken: string;
    try {
      if (addresses.areUsedUp) await tokens.assignEdges().catch(() => {});
      if (refreshFirst) await tokens.refresh();
      accessToken = await tokens.accessToken();
    } catch (error) {
      return afterFailure(error);
    }
    if (this.stopping.signal.aborted) return afterEnd({ code: 1000, reason: "" });
    const edge = addresses.current;
    const way = this.ways.next();
    return new Promise((resolve) => {
      const handlers: SocketHandlers = {
        onWelcome: (welcome) => {
          this.socket = this.tried!;
          this.ways.onWelcome();
          onState({ status: "online", connectionId: welcome.connectionId, way });
          onWelcome(welcome);
          this.online.resolve(this.socket);
        },
        onFrame,
        onEnd: (end) => {
          if (this.socket) this.online = deferred();
          else if (end.code === withoutAWord) void this.ways.onFailure(way, edge);
          this.socket = undefined;
          this.tried = undefined;
          const ended = afterEnd(end);
          if (ended.what === "reconnect" || ended.what === "reconnectWithin") {
            addresses.leave(edge);
            const next = nextEdge(end.reason);
            if (next) addresses.goTo(next);
          }
          resolve(ended);
        },
      };
      try {
        const open = () => this.open(way, edge);
        const format = way === "websocket" ? this.options.format : httpFrames;
        this.tried = new Socket({ open, format, hello: hello(accessToken), timers }, handlers);
      } catch (error) {
        // A page that is not allowed to connect there, for example.
        resolve({ what: "stop", reason: String(error), retryAfterMs: 0 });
      }
    });
  }

  private open(way: Way, edge: string): WebSocketLike {
    const { WebSocket, format, fetch, tokens, hello, timers } = this.options;
    if (way === "websocket") return new WebSocket(webSocketUrl(edge), [format.subprotocol]);
    return new HttpSocket({
      url: edge,
      way,
      fetch,
      accessToken: () => tokens.accessToken(),
      hello: () => hello(""),
      timers,
    });
  }

  private finish(state: Extract<ConnectionState, { reason: string }>): void {
    this.online.reject(
      state.status === "signedOut"
        ? sdkError("SIGNED_OUT", Code.Unauthenticated, state.reason)
        : sdkError("CLIENT_CLOSED", Code.Canceled, state.reason),
    );
    this.options.onState(state);
  }
}

/** RFC 6455: a connection ended, and no close frame says why. */
const withoutAWord = 1006;

interface Ended {
  what: AfterClose;
  reason: string;
  retryAfterMs: number;
}

function afterEnd({ code, reason }: SocketEnd): Ended {
  return {
    what: afterClose(code),
    reason: reason || `closed with code ${code}`,
    retryAfterMs: retryAfterMs(reason),
  };
}

/** No token, no connection: who is refused one is signed out, all else may pass. */
function afterFailure(thrown: unknown): Ended {
  const error = ConnectError.from(thrown);
  return {
    what: error.code === Code.Unauthenticated ? "signOut" : "reconnect",
    reason: error.rawMessage,
    retryAfterMs: errorRetryAfterMs(error),
  };
}

interface Deferred<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

function deferred<T>(): Deferred<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  // Nobody may be waiting.
  promise.catch(() => {});
  return { promise, resolve, reject };
}

/** The address of the edge's WebSockets. */
function webSocketUrl(url: string): string {
  const address = new URL(url);
  address.protocol = address.protocol.replace("http", "ws");
  address.pathname = `${address.pathname.replace(/\/$/, "")}/ws`;
  return address.href;
}
