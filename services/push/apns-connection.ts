/**
 * Requests over one HTTP/2 connection, which is opened with the first of them and kept. When the
 * peer says that it will end (GOAWAY) the next requests take a new one, while those under way
 * may still be answered. At most as many are under way as the peer allows; none before it has
 * said how many.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type OutgoingHttpHeaders,
} from "node:http2";
import type { Clock, Timer } from "../../mesh/clock.ts";
import { PushBreaker } from "./push-breaker.ts";

/** How long a request may take, with the time that it waits for a free stream. */
const answerMs = 10_000;
/** How long opening a connection may take. */
const connectMs = 5_000;
/** A connection is tried after so long, as Apple advises, and when an answer stays out. */
const pingMs = 60_000;
const pongMs = 5_000;
/** Requests under way, whatever the peer allows. */
const streamsMax = 1_000;
/** Requests that wait for a stream. */
const waitingMax = 10_000;
/** How often the peer may hand a request back unread. */
const refusalsMax = 3;
/** An error's body has some 50 bytes. */
const bodyLengthMax = 4_096;

/** What the peer answered. */
export interface ApnsResponse {
  status: number;
  retryAfter: string | undefined;
  body: string;
}

/** There was no answer: whether the request was carried out is not known. */
export class ApnsUnanswered extends Error {
  override readonly name = "ApnsUnanswered";
  /** When to try again, at the earliest. */
  readonly afterMs: number | undefined;

  constructor(message: string, afterMs?: number) {
    super(message);
    this.afterMs = afterMs;
  }
}

/** How a connection is made. */
export interface ApnsConnectionOptions {
  url: string;
  clock: Clock;
  /** Whom to trust, PEM; unset: as Node does. */
  ca?: string;
}

interface Request {
  headers: OutgoingHttpHeaders;
  body: string;
  refusals: number;
  stream: ClientHttp2Stream | undefined;
  /** Once: later calls do nothing. */
  settle(answer: ApnsResponse | ApnsUnanswered): void;
  isSettled: boolean;
}

/** See the head of this file. */
export class ApnsConnection {
  private readonly options: ApnsConnectionOptions;
  private readonly breaker: PushBreaker;
  private session: ClientHttp2Session | undefined;
  /** All that are open: those that will end too. */
  private readonly sessions = new Set<ClientHttp2Session>();
  /** Those whose peer has told its settings. */
  private readonly told = new WeakSet<ClientHttp2Session>();
  private waiting: Request[] = [];
  private underWay = 0;
  private isClosed = false;

  constructor(options: ApnsConnectionOptions) {
    this.options = options;
    this.breaker = new PushBreaker(options.clock);
  }

  /** @throws ApnsUnanswered */
  async request(headers: OutgoingHttpHeaders, body: string): Promise<ApnsResponse> {
    const pauseMs = this.breaker.pauseMs();
    if (pauseMs > 0) throw new ApnsUnanswered("Apple's service can't be reached", pauseMs);
    if (this.isClosed) throw new ApnsUnanswered("the provider is closed");
    if (this.waiting.length >= waitingMax) {
      throw new ApnsUnanswered(`${waitingMax} requests wait already`, 1_000);
    }
    return new Promise((resolve, reject) => {
      const timer = this.options.clock.setTimer(answerMs, () => this.expire(request));
      const request: Request = {
        ...{ headers, body, refusals: 0, stream: undefined, isSettled: false },
        settle(answer) {
          if (request.isSettled) return;
          request.isSettled = true;
          timer.cancel();
          if (answer instanceof ApnsUnanswered) reject(answer);
          else resolve(answer);
        },
      };
      this.waiting.push(request);
      this.startWaiting();
    });
  }

  /** The next request takes a new connection: the peer said that this one ends. */
  retire(): void {
    this.session?.close();
    this.session = undefined;
  }

  /** Ends all; requests under way are unanswered. */
  close(): void {
    this.isClosed = true;
    for (const session of this.sessions) session.destroy();
    this.failWaiting("the provider was closed");
  }

  private startWaiting(): void {
    if (this.waiting.length === 0 || this.isClosed) return;
    // One that has just ended tells so later.
    if (this.session?.destroyed || this.session?.closed) this.session = undefined;
    this.session ??= this.open();
    const { session } = this;
    // Before it has told them, what stands in `remoteSettings` is Node's guess.
    const allowed = this.told.has(session)
      ? Math.min(session.remoteSettings.maxConcurrentStreams ?? streamsMax, streamsMax)
      : 0;
    while (this.waiting.length > 0 && this.underWay < allowed && this.session === session) {
      const request = this.waiting.shift()!;
      if (!request.isSettled) this.start(session, request);
    }
    if (this.session !== session) this.startWaiting();
  }

  private open(): ClientHttp2Session {
    const { url, clock, ca } = this.options;
    const session = connect(url, { ...(ca && { ca }), settings: { enablePush: false } });
    this.sessions.add(session);
    const connecting = clock.setTimer(connectMs, () => session.destroy());
    let pinging: Timer | undefined;
    const pingLater = () => {
      pinging = clock.setTimer(pingMs, () => {
        this.ping(session);
        pingLater();
      });
    };
    session.once("remoteSettings", () => {
      connecting.cancel();
      this.told.add(session);
      pingLater();
    });
    session.on("remoteSettings", () => this.startWaiting());
    session.once("goaway", () => {
      if (this.session === session) this.session = undefined;
    });
    // What it was is told by "close", and by each request's outcome.
    session.on("error", () => {});
    session.once("close", () => {
      connecting.cancel();
      pinging?.cancel();
      this.sessions.delete(session);
      if (this.session === session) this.session = undefined;
      if (!this.told.has(session)) {
        this.breaker.failed();
        this.failWaiting("Apple's service can't be reached");
      }
      this.startWaiting();
    });
    return session;
  }

  private start(session: ClientHttp2Session, request: Request): void {
    let stream: ClientHttp2Stream;
    try {
      stream = session.request(request.headers);
    } catch {
      // It has used up its stream ids, or ended in this very moment.
      this.handBack(session, request);
      return;
    }
    this.underWay++;
    request.stream = stream;
    let status = 0;
    let retryAfter: string | undefined;
    let body = "";
    let isComplete = false;
    stream.setEncoding("utf8");
    stream.on("response", (headers) => {
      status = headers[":status"] ?? 0;
      retryAfter = headers["retry-after"];
    });
    stream.on("data", (chunk: string) => {
      body = (body + chunk).slice(0, bodyLengthMax);
    });
    stream.on("end", () => {
      isComplete = status > 0;
    });
    stream.on("error", () => {});
    stream.once("close", () => {
      this.underWay--;
      request.stream = undefined;
      if (isComplete) {
        this.breaker.worked();
        request.settle({ status, retryAfter, body });
      } else if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) {
        this.handBack(session, request);
      } else {
        request.settle(new ApnsUnanswered("the connection was lost"));
      }
      this.startWaiting();
    });
    stream.end(request.body);
  }

  /** The peer has not read the request: it can be sent again. */
  private handBack(session: ClientHttp2Session, request: Request): void {
    if (this.session === session) this.session = undefined;
    if (this.isClosed || ++request.refusals > refusalsMax) {
      request.settle(new ApnsUnanswered(`handed back ${request.refusals} times`));
    } else {
      this.waiting.unshift(request);
    }
  }

  private expire(request: Request): void {
    request.settle(new ApnsUnanswered(`no answer within ${answerMs} ms`));
    const { stream } = request;
    if (!stream) return;
    if (stream.session) this.ping(stream.session as ClientHttp2Session);
    stream.close(constants.NGHTTP2_CANCEL);
  }

  /** Ends a connection that is dead without a word. */
  private ping(session: ClientHttp2Session): void {
    if (session.destroyed) return;
    const late = this.options.clock.setTimer(pongMs, () => {
      this.breaker.failed();
      session.destroy();
    });
    session.ping(() => late.cancel());
  }

  private failWaiting(why: string): void {
    const pauseMs = this.breaker.pauseMs();
    const waiting = this.waiting;
    this.waiting = [];
    for (const request of waiting) {
      request.settle(new ApnsUnanswered(why, pauseMs > 0 ? pauseMs : undefined));
    }
  }
}
