/**
 * Appends to one JetStream stream. They are sent in the order of the calls, a bounded number
 * without an answer at a time; the rest waits in a bounded queue. The server stores what comes on
 * one connection in its order.
 */
import type { Msg } from "@nats-io/transport-node";
import {
  type AppendOptions,
  AppendOutcomeUnknown,
  StreamFull,
  StreamUnavailable,
  WrongLastSequence,
} from "./streams.ts";
import {
  type AnswerHandler,
  encodeHeaders,
  type NatsLink,
  noResponders,
} from "./streams-nats-link.ts";
import { statusOf } from "./streams-nats-message.ts";

/** Appends without an answer, and their bytes. The server holds 100,000 of all its clients. */
const inFlightMax = 1_024;
const inFlightBytesMax = 8 << 20;

/** Appends that wait to be sent, and their bytes; past it they are refused. */
const waitingMax = 65_536;
const waitingBytesMax = 64 << 20;

/** Sends appends and tells what became of them. */
export class NatsAppends {
  private readonly link: NatsLink;
  private readonly settle: SettleConflict;
  private waiting: Append[] = [];
  private nextWaiting = 0;
  private waitingBytes = 0;
  private inFlight = 0;
  private inFlightBytes = 0;
  private idlers: (() => void)[] = [];
  /** Those that are not settled, by their dedupe ids. */
  private readonly repeatable = new Map<string, Promise<number>>();
  /** How many had an outcome that nobody knows. */
  unknown = 0;

  constructor(link: NatsLink, settle: SettleConflict) {
    this.link = link;
    this.settle = settle;
  }

  /**
   * Appends to a NATS subject. The data are copied before this returns. One whose dedupe id is
   * under way shares the outcome of the first: replicas refuse it (10158) until they have that.
   * @throws WrongLastSequence, AppendOutcomeUnknown, StreamUnavailable
   */
  add(subject: string, data: Uint8Array, options: AppendOptions): Promise<number> {
    const { dedupeId } = options;
    if (dedupeId === undefined) return this.addOnce(subject, data, options);
    let outcome = this.repeatable.get(dedupeId);
    if (!outcome) {
      outcome = this.addOnce(subject, data, options);
      this.repeatable.set(dedupeId, outcome);
      const forget = () => void this.repeatable.delete(dedupeId);
      outcome.then(forget, forget);
    }
    return outcome;
  }

  private addOnce(subject: string, data: Uint8Array, options: AppendOptions): Promise<number> {
    return new Promise((resolve, reject) => {
      this.link.checkUp();
      const waits = this.waiting.length - this.nextWaiting;
      if (waits >= waitingMax || this.waitingBytes >= waitingBytesMax) {
        throw new StreamUnavailable(`${waits} appends of ${this.waitingBytes} bytes wait already`);
      }
      const dueMs = this.link.clock.monotonicMs() + this.link.timeoutMs;
      // The library gathers what is published in this turn of the event loop, by reference.
      const copy = Buffer.allocUnsafe(data.length);
      copy.set(data);
      const append = new Append(this, subject, copy, options, dueMs, resolve, reject);
      if (waits === 0 && this.hasRoom()) this.send(append);
      else {
        this.waiting.push(append);
        this.waitingBytes += data.length;
      }
    });
  }

  /** Resolves when nothing waits or is without an answer. */
  async idle(): Promise<void> {
    while (this.inFlight > 0) await new Promise<void>((resolve) => this.idlers.push(resolve));
  }

  /** An append has its outcome; the next ones go. */
  finished(append: Append): void {
    this.inFlight--;
    this.inFlightBytes -= append.data.length;
    while (this.nextWaiting < this.waiting.length && this.hasRoom()) {
      const next = this.waiting[this.nextWaiting++]!;
      this.waitingBytes -= next.data.length;
      const isLate = next.dueMs < this.link.clock.monotonicMs();
      if (isLate) next.refuse(`not sent within ${this.link.timeoutMs} ms`);
      else this.send(next);
    }
    if (this.nextWaiting * 2 >= this.waiting.length) {
      this.waiting.splice(0, this.nextWaiting);
      this.nextWaiting = 0;
    }
    if (this.inFlight > 0) return;
    for (const resolve of this.idlers.splice(0)) resolve();
  }

  /** Waits until the leader shows what was in an append's way. */
  conflict(append: Append): Promise<void> {
    return this.settle(append.subject, append.options.expectedLastSequence ?? 0);
  }

  private hasRoom(): boolean {
    if (this.inFlight === 0) return true;
    return this.inFlight < inFlightMax && this.inFlightBytes < inFlightBytesMax;
  }

  private send(append: Append): void {
    try {
      this.link.ask(append.subject, append.data, append, headersOf(append.options));
    } catch (thrown) {
      append.refuse(thrown instanceof Error ? thrown.message : String(thrown));
      return;
    }
    this.inFlight++;
    this.inFlightBytes += append.data.length;
  }
}

/** Waits until the leader shows another last entry of a NATS subject than this. */
export type SettleConflict = (subject: string, expectedLastSequence: number) => Promise<void>;

/** An append that waits for its turn or its answer. */
class Append implements AnswerHandler {
  readonly subject: string;
  readonly data: Buffer;
  readonly options: AppendOptions;
  readonly dueMs: number;
  private readonly appends: NatsAppends;
  private readonly resolve: (sequence: number) => void;
  private readonly reject: (error: Error) => void;

  constructor(
    appends: NatsAppends,
    subject: string,
    data: Buffer,
    options: AppendOptions,
    dueMs: number,
    resolve: (sequence: number) => void,
    reject: (error: Error) => void,
  ) {
    this.appends = appends;
    this.subject = subject;
    this.data = data;
    this.options = options;
    this.dueMs = dueMs;
    this.resolve = resolve;
    this.reject = reject;
  }

  answer(message: Msg): boolean {
    this.decide(message);
    this.appends.finished(this);
    return false;
  }

  lost(why: string): void {
    this.appends.unknown++;
    this.reject(new AppendOutcomeUnknown(`${this.subject}: ${why}`));
    this.appends.finished(this);
  }

  /** It was not sent. */
  refuse(why: string): void {
    this.reject(new StreamUnavailable(`${this.subject}: ${why}`));
  }

  private decide(message: Msg): void {
    if (statusOf(message) === noResponders) {
      this.refuse("no stream takes it");
      return;
    }
    const { seq, error } = readAcknowledgement(message);
    if (!error && seq > 0) {
      this.resolve(seq);
      return;
    }
    const { err_code: code = 0, description = "no sequence" } = error ?? {};
    const text = `${this.subject}: ${description} (${code})`;
    if (code === wrongLastSequence) {
      this.reject(new WrongLastSequence(text));
    } else if (code === wrongLastSequenceUnderWay) {
      const settled = this.appends.conflict(this);
      void settled.catch(() => {}).then(() => this.reject(new WrongLastSequence(text)));
    } else if (isFull(code, description)) {
      this.reject(new StreamFull(text));
    } else if (refusals.has(code)) {
      this.refuse(description);
    } else {
      this.appends.unknown++;
      this.reject(new AppendOutcomeUnknown(text));
    }
  }
}

interface Acknowledgement {
  seq: number;
  error?: { err_code?: number; description?: string };
}

function readAcknowledgement(message: Msg): Acknowledgement {
  try {
    return JSON.parse(message.string());
  } catch {
    return { seq: 0, error: { description: "an answer that is not JSON" } };
  }
}

/** Another entry is the last one of the subject. */
const wrongLastSequence = 10071;

/** The same, where replicas have not all got that entry yet: a leader read may not show it. */
const wrongLastSequenceUnderWay = 10164;

/**
 * Errors with which the server has stored nothing and will not. Whatever is not here nor above is
 * of unknown outcome, as is 10158: another process' append with this dedupe id is under way.
 */
const refusals = new Set([
  10002, // the account's resources are used up
  10008, // the cluster has no leader
  10023, // insufficient resources
  10028, // memory used up
  10039, // JetStream is not enabled for the account
  10047, // storage used up
  10054, // larger than the stream allows
  10059, // no such stream
  10076, // JetStream is not enabled
  10097, // headers too large
  10109, // the stream is sealed
  10167, // too many requests wait at the server
]);

/** A store's failure, which may have written something, unless it says that it is full. */
function isFull(code: number, description: string): boolean {
  return code === 10077 && /maximum (bytes|messages)/.test(description);
}

function headersOf({ expectedLastSequence, dedupeId }: AppendOptions): Buffer | undefined {
  if (expectedLastSequence === undefined && dedupeId === undefined) return undefined;
  const headers: Record<string, string> = {};
  if (expectedLastSequence !== undefined) {
    headers["Nats-Expected-Last-Subject-Sequence"] = String(expectedLastSequence);
  }
  if (dedupeId !== undefined) headers["Nats-Msg-Id"] = visible(dedupeId);
  return encodeHeaders(headers);
}

/** An id of any characters, as one that a header may have; different ones stay different. */
function visible(id: string): string {
  if (/^[!-<>-~][!-~]*$/.test(id)) return id;
  return `=${Buffer.from(id, "utf16le").toString("base64url")}`;
}
