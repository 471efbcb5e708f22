/**
 * The two ways in which one HTTP response carries frames: as an event stream, which stays open
 * for its turn, or as the answer to a poll, which is over with the first frames.
 */
import type { ServerResponse } from "node:http";
import type { CloseCode } from "./close-codes.ts";
import { closeCodeName, httpStatus } from "./close-codes.ts";
import { answerProblem } from "./http-problem.ts";

/** Why a connection has ended. */
export interface Closing {
  code: CloseCode;
  reason: string;
}

/** One response, as long as it is open. */
export interface Turn {
  readonly response: ServerResponse;
  /** The connection goes on here: what there is to say is said in frames from now on. */
  open(): void;
  /**
   * Writes frames in JSON, which take the client to this place. False: nothing may follow.
   * `onLeft` is called when they have left.
   */
  write(frames: readonly string[], eventId: string, onLeft: () => void): boolean;
  /** Shows the client, and proxies on the way, that the edge is there. */
  keepAlive(): void;
  /** Ends it: the next turn goes on. */
  end(eventId: string): void;
  /** Ends it: the connection has ended. Before any frame that is an HTTP error. */
  close(closing: Closing): void;
}

/** Server-Sent Events: a frame is an event's data, and the last of what leaves together has an id. */
export class EventStreamTurn implements Turn {
  readonly response: ServerResponse;

  constructor(response: ServerResponse) {
    this.response = response;
  }

  write(frames: readonly string[], eventId: string, onLeft: () => void): boolean {
    const last = frames.length - 1;
    const events = frames.map((frame, at) => {
      return at < last ? `data: ${frame}\n\n` : `id: ${eventId}\ndata: ${frame}\n\n`;
    });
    this.open();
    this.response.write(events.join(""), onLeft);
    return true;
  }

  keepAlive(): void {
    this.open();
    this.response.write(":\n\n");
  }

  end(): void {
    this.open();
    this.response.end();
  }

  close(closing: Closing): void {
    if (this.response.headersSent) {
      this.response.end(`event: close\ndata: ${JSON.stringify(closing)}\n\n`);
    } else refuse(this.response, closing);
  }

  open(): void {
    if (this.response.headersSent) return;
    this.response.writeHead(200, {
      ...unbuffered,
      "content-type": "text/event-stream; charset=utf-8",
    });
    this.response.write(`retry: ${retryMs}\n\n`);
  }
}

/** One JSON answer, a parley.edge.v1.ServerFrames. */
export class PollTurn implements Turn {
  readonly response: ServerResponse;

  constructor(response: ServerResponse) {
    this.response = response;
  }

  write(frames: readonly string[], eventId: string, onLeft: () => void): boolean {
    const text = `{"frames":[${frames.join(",")}],"lastEventId":${JSON.stringify(eventId)}}`;
    this.response.writeHead(200, { ...unbuffered, "content-type": "application/json" });
    this.response.end(text, onLeft);
    return false;
  }

  open(): void {}
  keepAlive(): void {}

  end(eventId: string): void {
    this.write([], eventId, () => {});
  }

  close(closing: Closing): void {
    refuse(this.response, closing);
  }
}

function refuse(response: ServerResponse, closing: Closing): void {
  const status = httpStatus(closing.code);
  const retry = status === 503 && { "retry-after": "1" };
  answerProblem(response, {
    status,
    reason: closeCodeName(closing.code),
    detail: closing.reason,
    headers: { ...unbuffered, ...retry },
    more: { close: closing },
  });
}

/** How long an EventSource waits before it comes back. */
const retryMs = 1_000;

/** Proxies are asked to neither keep nor change nor hold back (the last is nginx's own word). */
const unbuffered = { "cache-control": "no-store, no-transform", "x-accel-buffering": "no" };
