/**
 * A socket made of HTTP responses, one after the other. What a device lacks between two of them
 * waits here, under the limits of any connection. A device that comes back for its next turn goes
 * on where it was; one that does not is silent, as on a WebSocket.
 */
import type { ServerResponse } from "node:http";
import type { Connection } from "./connection.ts";
import type { EdgeContext } from "./edge-context.ts";
import { writeEventId } from "./event-id.ts";
import type { FrameSocket } from "./frame-socket.ts";
import type { WheelItem } from "./timer-wheel.ts";
import type { Closing, Turn } from "./turns.ts";

/** The socket of one connection over HTTP. */
export class HttpSocket implements FrameSocket, WheelItem {
  wheelSlot = -1;
  readonly isPaused = false;
  /** Frames that were written to responses: whoever has fewer has lost some on the way. */
  framesWritten = 0;
  private readonly edge: EdgeContext;
  private readonly onOver: (socket: HttpSocket) => void;
  private attached: Connection | undefined;
  private waiting: string[] = [];
  private waitingBytes = 0;
  private onLeft: (() => void)[] = [];
  private turn: Turn | undefined;
  private turnEndMs = 0;
  private closing: Closing | undefined;

  /** @param onOver told once when nothing can come of it any more */
  constructor(edge: EdgeContext, onOver: (socket: HttpSocket) => void) {
    this.edge = edge;
    this.onOver = onOver;
  }

  /** Set by whoever makes it, before its first turn. */
  set connection(connection: Connection) {
    this.attached = connection;
  }

  get connection(): Connection {
    return this.attached!;
  }

  get bufferedAmount(): number {
    return this.waitingBytes + (this.turn?.response.writableLength ?? 0);
  }

  /** Goes on in a new response; one that is still open has been given up by the client. */
  begin(turn: Turn): void {
    this.edge.metrics.turns.inc();
    this.turn?.response.destroy();
    this.turn = turn;
    turn.response.once("close", () => {
      if (this.turn === turn) this.terminate();
    });
    const lengthMs = turnMs(this.edge);
    this.turnEndMs = this.edge.clock.monotonicMs() + lengthMs;
    this.lookIn(Math.min(keepAliveMs, lengthMs));
    this.flush();
    if (this.closing) this.tellClosing(this.closing);
    else if (this.framesWritten > 0) turn.open();
  }

  /** HTTP requests come whole: there is nothing to pause. */
  pause(): void {}
  resume(): void {}
  cork(): void {}

  uncork(): void {
    this.flush();
  }

  send(frame: Uint8Array | string, onLeft?: () => void): void {
    const text = String(frame);
    this.waiting.push(text);
    this.waitingBytes += Buffer.byteLength(text);
    if (onLeft) this.onLeft.push(onLeft);
  }

  /** Without a response the next turn is told, if it comes while silence is borne. */
  close(code: Closing["code"], reason: string): void {
    if (this.closing) return;
    this.flush();
    this.closing = { code, reason };
    if (this.turn) this.tellClosing(this.closing);
    else this.lookIn(this.edge.config.silenceMsMax);
  }

  terminate(): void {
    const { turn } = this;
    this.turn = undefined;
    turn?.response.destroy();
    this.edge.wheel.remove(this);
    this.onOver(this);
  }

  onWheel(nowMs: number): number {
    const { turn } = this;
    if (!turn) {
      // Only what was closed meanwhile is looked at: silence is the connection's matter.
      if (this.closing) this.onOver(this);
      return 0;
    }
    if (nowMs < this.turnEndMs) {
      turn.keepAlive();
      return Math.min(keepAliveMs, this.turnEndMs - nowMs);
    }
    this.turn = undefined;
    turn.end(this.eventId());
    endWithin(this.edge, turn.response, this.edge.config.laggingMsMax);
    return 0;
  }

  private flush(): void {
    const { turn, waiting } = this;
    if (!turn || waiting.length === 0) return;
    const onLeft = this.onLeft;
    this.waiting = [];
    this.waitingBytes = 0;
    this.onLeft = [];
    this.framesWritten += waiting.length;
    const takesMore = turn.write(waiting, this.eventId(), () => {
      for (const each of onLeft) each();
    });
    if (takesMore) return;
    this.turn = undefined;
    endWithin(this.edge, turn.response, this.edge.config.laggingMsMax);
  }

  private tellClosing(closing: Closing): void {
    const { turn } = this;
    if (!turn) return;
    this.turn = undefined;
    turn.close(closing);
    endWithin(this.edge, turn.response, lastWordsMsMax);
    this.terminate();
  }

  private eventId(): string {
    const { id: connectionId, position } = this.connection;
    return writeEventId({ connectionId, frames: this.framesWritten, ...position });
  }

  private lookIn(ms: number): void {
    this.edge.wheel.remove(this);
    this.edge.wheel.add(this, ms);
  }
}

/** What was written last must be read within this time: nobody waits for ever for who does not read. */
function endWithin({ wheel }: EdgeContext, response: ServerResponse, ms: number): void {
  const item: WheelItem = {
    wheelSlot: -1,
    onWheel() {
      response.destroy();
      return 0;
    },
  };
  wheel.add(item, ms);
  response.once("close", () => wheel.remove(item));
}

/** As long as a WebSocket waits for the client's close frame. */
const lastWordsMsMax = 5_000;

/** Below the 30 s after which proxies give up a silent response. */
const keepAliveMs = 15_000;
const turnMsMax = 25_000;

/** How long a response stays open: a device's next turn must come before its silence is too long. */
function turnMs({ config }: EdgeContext): number {
  return Math.min(turnMsMax, (config.silenceMsMax * 5) / 6);
}
