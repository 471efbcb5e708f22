/**
 * The entries of a shard in order, as a worker takes them. The server sends them to a consumer
 * that it forgets when nobody reads; where the worker is, only the worker's checkpoint says. What
 * is sent is numbered, so that a hole is noticed; then, and after an outage, a new consumer goes
 * on after the last entry that has come.
 */
import { randomBytes } from "node:crypto";
import type { Msg } from "@nats-io/transport-node";
import { sleep } from "./clock.ts";
import type { StreamEntry } from "./streams.ts";
import type { Listener, Listening } from "./streams-nats-link.ts";
import { HeaderName, numberIn, statusOf, statusText } from "./streams-nats-message.ts";
import type { NatsShard } from "./streams-nats-shard.ts";

/** Bytes that one request lets the server send. */
const requestBytesMax = 8 << 20;
/** The server ends a request after this. It then says how many entries it has not sent. */
const requestMs = 10_000;
/** An idle server says that it is there this often; after three that are missing it is not. */
const heartbeatMs = 1_500;
const silenceMsMax = 3 * heartbeatMs;
/** The server forgets a consumer that nobody asks for this long. */
const forgottenMs = 60_000;
/** Between one consumer and the next. */
const pauseMs = 250;

const pendingMessages = new HeaderName("Nats-Pending-Messages");

/** Reads from a sequence on, at most twice `batchMax` entries and two requests' bytes ahead. */
export class NatsReader {
  private readonly shard: NatsShard;
  private readonly batchMax: number;
  private readonly closing = new AbortController();
  private received: number;
  private entries: StreamEntry[] = [];
  private bytes = 0;
  private taker: (() => void) | undefined;
  private pull: Pull | undefined;

  constructor(shard: NatsShard, after: number, batchMax: number) {
    this.shard = shard;
    this.received = after;
    this.batchMax = batchMax;
    void this.run();
  }

  /** The next entries, at least one; none only if it is closed. One call at a time. */
  async take(entriesMax: number): Promise<StreamEntry[]> {
    const { signal } = this.closing;
    while (this.entries.length === 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.taker = resolve;
      });
    }
    if (signal.aborted) return [];
    const taken = this.entries.splice(0, entriesMax);
    for (const { data } of taken) this.bytes -= data.length;
    this.pull?.continue();
    return taken;
  }

  /** Ends it; what was read and not taken is dropped. */
  close(): void {
    this.closing.abort();
    this.pull?.end();
    this.taker?.();
  }

  private async run(): Promise<void> {
    const { clock, log } = this.shard.link;
    const { signal } = this.closing;
    while (!signal.aborted) {
      const consumer = `parley-${randomBytes(8).toString("hex")}`;
      try {
        await this.createConsumer(consumer);
        const why = await this.readFrom(consumer);
        if (!signal.aborted) log.info({ event: "nats_reader_restarts", why });
      } catch (err) {
        if (!signal.aborted) log.info({ event: "nats_reader_waits", err });
      }
      this.deleteConsumer(consumer);
      await sleep(clock, pauseMs, signal).catch(() => {});
    }
  }

  private createConsumer(name: string): Promise<unknown> {
    const config = {
      name,
      ack_policy: "none",
      deliver_policy: "by_start_sequence",
      opt_start_seq: this.received + 1,
      replay_policy: "instant",
      inactive_threshold: nanoseconds(forgottenMs),
      mem_storage: true,
      num_replicas: 1,
    };
    const request = { stream_name: this.shard.stream, config };
    return this.shard.api("CONSUMER.CREATE", request, `.${name}`);
  }

  private deleteConsumer(name: string): void {
    if (this.shard.link.isUp) this.shard.api("CONSUMER.DELETE", {}, `.${name}`).catch(() => {});
  }

  private async readFrom(consumer: string): Promise<string> {
    if (this.closing.signal.aborted) return "closed";
    this.pull = new Pull(this.shard, consumer, this.batchMax, {
      hasRoom: () => this.entries.length < this.batchMax && this.bytes < requestBytesMax,
      add: (entry) => {
        this.received = entry.sequence;
        this.entries.push(entry);
        this.bytes += entry.data.length;
        this.taker?.();
      },
    });
    const why = await this.pull.ended;
    this.pull = undefined;
    return why;
  }
}

/** Where entries go. */
interface Sink {
  hasRoom(): boolean;
  add(entry: StreamEntry): void;
}

/** Asks one consumer for entries, one request at a time, until something is not as it should be. */
class Pull implements Listener {
  /** Why it ended. */
  readonly ended: Promise<string>;
  private readonly shard: NatsShard;
  private readonly subject: string;
  private readonly batchMax: number;
  private readonly sink: Sink;
  private readonly listening: Listening;
  private readonly resolveEnded: (why: string) => void;
  private isEnded = false;
  /** Entries that the request under way still lets the server send; 0: there is none. */
  private left = 0;
  private delivered = 0;
  private heardMs: number;

  constructor(shard: NatsShard, consumer: string, batchMax: number, sink: Sink) {
    this.shard = shard;
    this.subject = `$JS.API.CONSUMER.MSG.NEXT.${shard.stream}.${consumer}`;
    this.batchMax = batchMax;
    this.sink = sink;
    this.heardMs = shard.link.clock.monotonicMs();
    const { promise, resolve } = Promise.withResolvers<string>();
    this.ended = promise;
    this.resolveEnded = resolve;
    this.listening = shard.link.listen(this);
    this.continue();
    this.watch();
  }

  /** Asks for more where there is room. */
  continue(): void {
    if (this.isEnded || this.left > 0 || !this.sink.hasRoom()) return;
    const { link } = this.shard;
    const request = {
      batch: this.batchMax,
      max_bytes: requestBytesMax,
      expires: nanoseconds(requestMs),
      idle_heartbeat: nanoseconds(heartbeatMs),
    };
    this.left = this.batchMax;
    this.heardMs = link.clock.monotonicMs();
    link.publish(this.subject, JSON.stringify(request), this.listening.subject);
  }

  end(why = "closed"): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.listening.end();
    this.resolveEnded(why);
  }

  lost(why: string): void {
    this.end(why);
  }

  heard(message: Msg): void {
    this.heardMs = this.shard.link.clock.monotonicMs();
    const status = statusOf(message);
    if (status === heartbeat) return;
    if (status === 0) this.deliver(message);
    else if (isCompletion(status, message)) this.checkComplete();
    else if (!endsRequest(status, message)) this.end(statusText(message));
    else if (numberIn(message, pendingMessages) !== this.left) this.end("entries were lost");
    else this.left = 0;
    this.continue();
  }

  /** What says so follows the last entry, after which the next request is mostly on its way. */
  private checkComplete(): void {
    if (this.left !== 0 && this.left !== this.batchMax) this.end("entries were lost");
  }

  private deliver(message: Msg): void {
    const { sequence, delivery } = positionOf(message.reply ?? "");
    if (delivery !== ++this.delivered) {
      this.end(`delivery ${delivery}, not ${this.delivered}`);
      return;
    }
    this.left--;
    const subject = message.subject.slice(this.shard.subjectPrefix.length);
    this.sink.add({ sequence, subject, data: message.data });
  }

  private watch(): void {
    const { clock } = this.shard.link;
    clock.setTimer(heartbeatMs, () => {
      if (this.isEnded) return;
      const isSilent = clock.monotonicMs() - this.heardMs > silenceMsMax;
      if (isSilent && this.left > 0) this.end(`silent for ${silenceMsMax} ms`);
      else this.watch();
    });
  }
}

const heartbeat = 100;

/** All that was asked for has been sent. */
function isCompletion(status: number, message: Msg): boolean {
  return status === 409 && statusText(message).startsWith("409 Batch Completed");
}

/** Its time is over, or its bytes are used up. */
function endsRequest(status: number, message: Msg): boolean {
  if (status === 408) return true;
  return status === 409 && statusText(message).startsWith("409 Message Size");
}

/** Reads "$JS.ACK.<stream>.<consumer>.<times>.<sequence>.<delivery>...", newer: two tokens more. */
function positionOf(reply: string): { sequence: number; delivery: number } {
  const tokens = reply.split(".");
  const at = tokens.length > 9 ? 7 : 5;
  return { sequence: Number(tokens[at]), delivery: Number(tokens[at + 1]) };
}

function nanoseconds(ms: number): number {
  return ms * 1_000_000;
}
