/**
 * A process' connection to NATS. All answers come through one subscription, told apart by a
 * counter in their subject; a request is an entry of one map, without a promise or a timer of its
 * own. The connection is made again for ever; while it is away, requests fail before anything is
 * written, and those that were under way when it broke are told so.
 */
import {
  connect,
  createInbox,
  type Msg,
  type NatsConnection,
  type NodeConnectionOptions,
} from "@nats-io/transport-node";
import { type Clock, sleep, type Timer } from "./clock.ts";
import { within } from "./lifecycle.ts";
import type { Logger } from "./logger.ts";
import { StreamUnavailable } from "./streams.ts";
import { statusOf, statusText } from "./streams-nats-message.ts";

/** How long the end of a connection waits for what was published last. */
const closeFlushMsMax = 1_000;

/** How a connection proves who it is, and its encryption. */
export type NatsCredentials = Pick<
  NodeConnectionOptions,
  "user" | "pass" | "token" | "tls" | "authenticator"
>;

/** What a link is made of. */
export interface NatsLinkOptions {
  urls: readonly string[];
  credentials: NatsCredentials;
  clock: Clock;
  log: Logger;
  /** How long an answer may take; see {@link AnswerHandler.lost}. */
  timeoutMs: number;
  /** How long the first connection may take. */
  openTimeoutMs: number;
}

/** Hears what becomes of a request. */
export interface AnswerHandler {
  /** An answer has come. Returns whether more of them follow. */
  answer(message: Msg): boolean;
  /** No more will come: the time is over, or the connection broke. The server may have acted. */
  lost(why: string): void;
}

/** Hears what is sent to one receiver. */
export interface Listener {
  heard(message: Msg): void;
  /** The connection broke: what was asked for will not come. */
  lost(why: string): void;
}

/** A receiver that is listened to. */
export interface Listening {
  /** Where it is. */
  readonly subject: string;
  /** Nothing is heard any more. */
  end(): void;
}

/** The server has nobody who could answer, so that nothing has happened. */
export const noResponders = 503;

/** Answers are waited for in steps of this. */
const sweepMs = 250;

/** Reconnecting: this long between attempts, and up to as long again by chance. */
const reconnectMs = 200;

/** A connection that is silent is asked whether it lives; after two of these it is given up. */
const pingIntervalMs = 5_000;

interface Pending {
  handler: AnswerHandler;
  deadlineMs: number;
}

/** The connection, and the requests that are under way on it. */
export class NatsLink {
  readonly connection: NatsConnection;
  readonly clock: Clock;
  readonly log: Logger;
  readonly timeoutMs: number;
  /** How often the connection was made again. */
  reconnects = 0;
  private readonly inbox = createInbox();
  /** Ascending, also by their deadlines. */
  private readonly pending = new Map<number, Pending>();
  private readonly listeners = new Set<Listener>();
  private lastRequest = 0;
  private up = true;
  private closed = false;
  private timer: Timer | undefined;

  /** @throws StreamUnavailable where no server can be reached in time. */
  static async open(options: NatsLinkOptions): Promise<NatsLink> {
    const { urls, credentials, clock, openTimeoutMs } = options;
    const endMs = clock.monotonicMs() + openTimeoutMs;
    for (;;) {
      try {
        const connection = await connect({
          ...credentials,
          servers: [...urls],
          name: "parley",
          timeout: Math.min(5_000, openTimeoutMs),
          maxReconnectAttempts: -1,
          reconnectTimeWait: reconnectMs,
          reconnectJitter: reconnectMs,
          reconnectJitterTLS: reconnectMs,
          ignoreAuthErrorAbort: true,
          pingInterval: pingIntervalMs,
          noAsyncTraces: true,
        });
        return new NatsLink(connection, options);
      } catch (cause) {
        if (clock.monotonicMs() >= endMs) {
          const where = `${urls.join(", ")} within ${openTimeoutMs} ms`;
          const text = `NATS can't be reached at ${where}: ${(cause as Error).message}`;
          throw new StreamUnavailable(text, { cause });
        }
      }
      await sleep(clock, reconnectMs);
    }
  }

  private constructor(connection: NatsConnection, { clock, log, timeoutMs }: NatsLinkOptions) {
    this.connection = connection;
    this.clock = clock;
    this.log = log;
    this.timeoutMs = timeoutMs;
    const prefixLength = this.inbox.length + 1;
    connection.subscribe(`${this.inbox}.*`, {
      // An error is a missing permission; it is logged with the connection's others.
      callback: (error, message) => {
        if (!error) this.answered(message, prefixLength);
      },
    });
    void this.followStatus();
  }

  /** Whether requests can be made now. */
  get isUp(): boolean {
    return this.up;
  }

  /**
   * Sends a request. Its handler hears at least one answer, or that it is lost.
   * @param headers in the form of the protocol; see {@link encodeHeaders}.
   * @throws StreamUnavailable while the connection is away; nothing was sent.
   */
  ask(
    subject: string,
    data: Uint8Array | string,
    handler: AnswerHandler,
    headers?: Uint8Array,
  ): void {
    this.checkUp();
    const request = ++this.lastRequest;
    const reply = `${this.inbox}.${request}`;
    const options = headers ? { reply, headers: new EncodedHeaders(headers) as never } : { reply };
    this.connection.publish(subject, data, options);
    this.pending.set(request, { handler, deadlineMs: this.clock.monotonicMs() + this.timeoutMs });
    this.timer ??= this.clock.setTimer(sweepMs, () => this.sweep());
  }

  /**
   * Listens to what is sent to one receiver under other subjects than its own, as consumers'
   * entries are.
   * @throws StreamUnavailable while the connection is away.
   */
  listen(listener: Listener): Listening {
    this.checkUp();
    const subject = createInbox();
    const subscription = this.connection.subscribe(subject, {
      callback: (error, message) => {
        if (!error) listener.heard(message);
      },
    });
    this.listeners.add(listener);
    const end = () => {
      this.listeners.delete(listener);
      subscription.unsubscribe();
    };
    return { subject, end };
  }

  /** Sends what is not answered here. @throws StreamUnavailable while the connection is away. */
  publish(subject: string, data: Uint8Array | string, reply = ""): void {
    this.checkUp();
    this.connection.publish(subject, data, { reply });
  }

  /**
   * Sends a request and waits for its one answer, or where parts are heard, for what ends them:
   * the first message with a status.
   * @throws StreamUnavailable
   */
  request(subject: string, data: string, onPart?: (part: Msg) => void): Promise<Msg> {
    return new Promise((resolve, reject) => {
      this.ask(subject, data, {
        answer(message) {
          const status = statusOf(message);
          if (onPart && status === 0) {
            onPart(message);
            return true;
          }
          if (status === noResponders) reject(new StreamUnavailable(`${subject}: nobody answers`));
          else if (isFailure(status)) {
            reject(new StreamUnavailable(`${subject}: ${statusText(message)}`));
          } else resolve(message);
          return false;
        },
        lost: (why) => reject(new StreamUnavailable(`${subject}: ${why}`)),
      });
    });
  }

  /** Resolves when the server has got all that was sent before. @throws StreamUnavailable */
  async flush(): Promise<void> {
    this.checkUp();
    const timeout = new AbortController();
    const late = sleep(this.clock, this.timeoutMs, timeout.signal).then(() => {
      throw new Error(`no answer within ${this.timeoutMs} ms`);
    });
    try {
      await Promise.race([this.connection.flush(), late]);
    } catch (cause) {
      throw new StreamUnavailable("what was sent may not have arrived", { cause });
    } finally {
      late.catch(() => {});
      timeout.abort();
    }
  }

  /** @throws StreamUnavailable while the connection is away. */
  checkUp(): void {
    if (!this.up) throw new StreamUnavailable("NATS is away");
  }

  /** Closes the connection; what is under way is lost. */
  async close(): Promise<void> {
    this.closed = true;
    // It would wait for a server that is away.
    await within(
      closeFlushMsMax,
      this.flush().catch(() => {}),
    );
    this.wentAway("closed");
    await this.connection.close();
  }

  private answered(message: Msg, prefixLength: number): void {
    const request = Number(message.subject.slice(prefixLength));
    const pending = this.pending.get(request);
    if (!pending) return;
    if (!pending.handler.answer(message)) this.pending.delete(request);
  }

  private sweep(): void {
    const nowMs = this.clock.monotonicMs();
    for (const [request, { handler, deadlineMs }] of this.pending) {
      if (deadlineMs > nowMs) break;
      this.pending.delete(request);
      handler.lost(`no answer within ${this.timeoutMs} ms`);
    }
    this.timer = undefined;
    if (this.pending.size > 0) this.timer = this.clock.setTimer(sweepMs, () => this.sweep());
  }

  private async followStatus(): Promise<void> {
    for await (const status of this.connection.status()) {
      switch (status.type) {
        case "disconnect":
          this.wentAway("the connection broke");
          break;
        case "reconnect":
          this.up = !this.closed;
          this.reconnects++;
          this.log.warn({ event: "nats_reconnected", server: status.server });
          break;
        case "error":
          // Also when the server drops a connection that reads too slowly: subscribers notice by
          // the sequences what they have missed.
          this.log.warn({ event: "nats_error", err: status.error });
          break;
      }
    }
  }

  private wentAway(why: string): void {
    if (this.up && !this.closed) this.log.warn({ event: "nats_away", why });
    this.up = false;
    const lost = [...this.pending.values()];
    this.pending.clear();
    for (const { handler } of lost) handler.lost(why);
    for (const listener of [...this.listeners]) listener.lost(why);
  }
}

/** Headers as the protocol has them, from names and values of visible ASCII. */
export function encodeHeaders(headers: Readonly<Record<string, string>>): Buffer {
  let text = "NATS/1.0\r\n";
  for (const name in headers) text += `${name}: ${headers[name]}\r\n`;
  return Buffer.from(`${text}\r\n`, "latin1");
}

/** All that publishing asks of the library's headers. */
class EncodedHeaders {
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  encode(): Uint8Array {
    return this.bytes;
  }
}

/** 204 ends an answer, 404 says that there is nothing. */
function isFailure(status: number): boolean {
  return status >= 400 && status !== 404;
}
