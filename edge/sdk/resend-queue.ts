/**
 * Texts on their way. Each is kept until it is acknowledged and sent again after whatever may
 * have lost it. Of one channel only the first is on the wire: so neither a lost connection nor a
 * lost answer can change the order of a device's texts in a channel.
 */
import { Code, type ConnectError } from "@connectrpc/connect";
import { Backoff } from "./backoff.ts";
import type { QueuedSend } from "./device-entries.ts";
import { errorReason, errorRetryAfterMs, isFault, isTransient, sdkError } from "./errors.ts";
import type { SentResult } from "./events.ts";
import type { Timers } from "./timers.ts";
import { uuidV7TimeMs } from "./uuid-v7.ts";

/** Code points of a text: fewer than 100,000. */
const textCodePointsMax = 99_999;
/** Texts that may wait; `add` refuses a further one. */
export const queuedSendsMax = 1_000;
/** UTF-16 units of texts that may wait. */
export const queuedUnitsMax = 4 * 1024 * 1024;
/** Channels with a text on the wire at once. */
const onWireMax = 64;
/** A fault of the server's is no reason to hold up a channel for ever. */
const faultsMax = 5;

/** What the queue works with. */
export interface ResendQueueOptions {
  /** Puts a text on the wire once. */
  put(send: QueuedSend): Promise<SentResult>;
  /** Whether there is a wire; when it comes back the queue is told by {@link ResendQueue.resume}. */
  isOnline(): boolean;
  /** Keeps a text for the next run of the program; it goes on the wire after that. */
  keep(send: QueuedSend): Promise<void>;
  /** A text was accepted. */
  onSent(send: QueuedSend, result: SentResult): void;
  /** A text was refused for good. */
  onRefused(send: QueuedSend, error: unknown): void;
  /** A text has another id from now on. */
  onRenamed(send: QueuedSend, previousClientMessageId: string): void;
  newClientMessageId(): string;
  serverNowMs(): number;
  timers: Timers;
  random: () => number;
}

/** The texts that are not acknowledged. */
export class ResendQueue {
  private readonly options: ResendQueueOptions;
  private readonly lanes = new Map<string, Lane>();
  private readonly waiting = new Map<string, Waiting>();
  private lastNumber = 0;
  private units = 0;
  private onWire = 0;
  private resendCount = 0;
  private closed = false;

  /** @param left texts of an earlier run, in their order */
  constructor(options: ResendQueueOptions, left: readonly QueuedSend[]) {
    this.options = options;
    for (const send of left) this.append(send).kept = true;
  }

  /** Texts that are not acknowledged, oldest first. */
  get sends(): QueuedSend[] {
    const sends = [...this.waiting.values()].map(({ send }) => send);
    return sends.sort((a, b) => a.number - b.number);
  }

  /** How often a text was put on the wire again. */
  get resends(): number {
    return this.resendCount;
  }

  /**
   * Takes a text.
   * @returns its place, once it is acknowledged
   * @throws ConnectError TEXT_EMPTY, TEXT_TOO_LONG, TOO_MUCH_WAITING, at once; later whatever it
   * was refused with
   */
  add(send: Omit<QueuedSend, "number">): Promise<SentResult> {
    checkText(send.text);
    const { size } = this.waiting;
    if (size >= queuedSendsMax || this.units + send.text.length > queuedUnitsMax) {
      const message = `${size} texts are waiting to be sent; the limits are ${queuedSendsMax} texts and ${queuedUnitsMax} UTF-16 units`;
      throw sdkError("TOO_MUCH_WAITING", Code.ResourceExhausted, message);
    }
    const waiting = this.append({ ...send, number: this.lastNumber + 1 });
    const result = new Promise<SentResult>((resolve, reject) => {
      waiting.resolve = resolve;
      waiting.reject = reject;
    });
    // Whoever does not look at it hears of it by an event.
    result.catch(() => {});
    this.keep(waiting);
    return result;
  }

  /** There is a connection. */
  resume(): void {
    this.dispatch();
  }

  /** The text has been seen in its channel: acknowledged, whether or not its answer comes. */
  acknowledge(clientMessageId: string, result: SentResult): void {
    const waiting = this.waiting.get(clientMessageId);
    if (!waiting) return;
    this.remove(waiting);
    waiting.resolve?.(result);
    this.options.onSent(waiting.send, result);
    this.dispatch();
  }

  /** Sends nothing more. What waits stays kept for the next run. */
  close(error: ConnectError): void {
    this.closed = true;
    for (const lane of this.lanes.values()) lane.pause?.cancel();
    for (const { reject } of this.waiting.values()) reject?.(error);
  }

  private append(send: QueuedSend): Waiting {
    let lane = this.lanes.get(send.channelId);
    if (!lane) {
      lane = { texts: [], backoff: new Backoff(this.options.random) };
      this.lanes.set(send.channelId, lane);
    }
    const waiting: Waiting = { send, lane, kept: false, renamed: false, tries: 0, faults: 0 };
    lane.texts.push(waiting);
    this.waiting.set(send.clientMessageId, waiting);
    this.lastNumber = send.number;
    this.units += send.text.length;
    return waiting;
  }

  private keep(waiting: Waiting): void {
    const { send } = waiting;
    waiting.kept = false;
    void this.options.keep(send).then(() => {
      if (waiting.send !== send) return;
      waiting.kept = true;
      this.dispatch();
    });
  }

  private remove(waiting: Waiting): void {
    const { send, lane } = waiting;
    this.waiting.delete(send.clientMessageId);
    this.units -= send.text.length;
    lane.texts.splice(lane.texts.indexOf(waiting), 1);
    lane.backoff.reset();
    if (lane.texts.length > 0) return;
    lane.pause?.cancel();
    this.lanes.delete(send.channelId);
  }

  private dispatch(): void {
    if (this.closed) return;
    for (const lane of this.lanes.values()) {
      if (this.onWire >= onWireMax || !this.options.isOnline()) return;
      const first = lane.texts[0]!;
      if (first.kept && lane.onWire !== first && !lane.pause) void this.put(first);
    }
  }

  private async put(waiting: Waiting): Promise<void> {
    const { lane, send } = waiting;
    lane.onWire = waiting;
    this.onWire++;
    if (waiting.tries++ > 0) this.resendCount++;
    let result: SentResult | undefined;
    let failure: unknown;
    try {
      result = await this.options.put(send);
    } catch (error) {
      failure = error;
    }
    this.onWire--;
    if (lane.onWire === waiting) lane.onWire = undefined;
    if (result) this.acknowledge(send.clientMessageId, result);
    else if (this.waiting.has(send.clientMessageId)) this.afterFailure(waiting, failure);
    this.dispatch();
  }

  private afterFailure(waiting: Waiting, error: unknown): void {
    const again = isTransient(error) || (isFault(error) && ++waiting.faults < faultsMax);
    if (again) {
      this.pause(waiting.lane, error);
    } else if (this.isAhead(waiting, error)) {
      this.rename(waiting.lane);
    } else {
      this.remove(waiting);
      waiting.reject?.(error);
      this.options.onRefused(waiting.send, error);
    }
  }

  /**
   * Whether a text was made while the device's clock was ahead of the server's: it is refused for
   * its id, then, and was not stored under it before.
   */
  private isAhead({ send, renamed }: Waiting, error: unknown): boolean {
    if (renamed || errorReason(error) !== "CLIENT_MESSAGE_ID_INVALID") return false;
    return uuidV7TimeMs(send.clientMessageId) > this.options.serverNowMs();
  }

  /** Gives a channel's texts new ids, all of them: those that follow were made by the same clock. */
  private rename(lane: Lane): void {
    for (const waiting of lane.texts) {
      const { clientMessageId } = waiting.send;
      waiting.send = { ...waiting.send, clientMessageId: this.options.newClientMessageId() };
      waiting.renamed = true;
      this.waiting.delete(clientMessageId);
      this.waiting.set(waiting.send.clientMessageId, waiting);
      this.options.onRenamed(waiting.send, clientMessageId);
      this.keep(waiting);
    }
  }

  /** Who has lost the connection waits for the next one, everybody else for a while. */
  private pause(lane: Lane, error: unknown): void {
    if (this.closed || !this.options.isOnline()) return;
    const delayMs = lane.backoff.next(errorRetryAfterMs(error));
    lane.pause = this.options.timers.setTimer(delayMs, () => {
      delete lane.pause;
      this.dispatch();
    });
  }
}

interface Waiting {
  send: QueuedSend;
  lane: Lane;
  /** Whether it is in the store. */
  kept: boolean;
  /** Whether it got a new id: once is enough. */
  renamed: boolean;
  tries: number;
  faults: number;
  resolve?: (result: SentResult) => void;
  reject?: (error: unknown) => void;
}

/** One channel's texts, in order. */
interface Lane {
  texts: Waiting[];
  onWire?: Waiting | undefined;
  backoff: Backoff;
  pause?: { cancel(): void };
}

/** A text that is too long would close the connection rather than be refused. */
function checkText(text: string): void {
  if (text === "") {
    const message = "the text is empty; the least is 1 code point";
    throw sdkError("TEXT_EMPTY", Code.InvalidArgument, message);
  }
  if (text.length <= textCodePointsMax) return;
  let codePoints = 0;
  for (const _ of text) codePoints++;
  if (codePoints > textCodePointsMax) {
    const message = `the text has ${codePoints} code points; the limit is ${textCodePointsMax}`;
    throw sdkError("TEXT_TOO_LONG", Code.InvalidArgument, message);
  }
}
