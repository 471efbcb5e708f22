import { create, type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import type { Result } from "../../gen/parley/edge/v1/frame_pb.js";
import { rules } from "../../gen/parley/rpc/v1/method_rules_pb.js";
import type { Connection } from "./connection.ts";
import { errorReason, fromFrameError, sdkError } from "./errors.ts";
import { decodeResponse, type FrameFormat } from "./frames.ts";
import type { Question } from "./socket.ts";
import { timeLimit } from "./time-limit.ts";
import type { Timers } from "./timers.ts";

/** Calls on the wire at once: half of what an edge takes from one connection by default. */
const callsOnWireMax = 16;
/** Calls that wait for their turn; a further one fails with TOO_MUCH_WAITING. */
const callsWaitingMax = 1_000;
/** A method's deadline where its contract says nothing. */
const defaultDeadlineMs = 5_000;
/** How much longer than the edge this side waits. */
const graceMs = 5_000;

/** What the transport works with. */
export interface SocketTransportOptions {
  connection: Pick<Connection, "ready">;
  format: FrameFormat;
  timers: Timers;
}

/**
 * A Connect transport over the socket: every public unary method of every service. A call waits
 * for the connection within its time limit (by default the method's, and 5 s). When the connection
 * is lost, calls that may be repeated by their contract are made again on the next one; others
 * fail with UNAVAILABLE, and may have happened. Headers are not carried.
 */
export function createSocketTransport(options: SocketTransportOptions): Transport {
  const { connection, format, timers } = options;
  const turns = new Turns(callsOnWireMax, callsWaitingMax);

  /** Asks on one connection after the other until there is an answer. */
  async function ask(call: Question, mayRepeat: boolean, signal: AbortSignal): Promise<Result> {
    await turns.take(signal);
    try {
      for (;;) {
        const socket = await connection.ready(signal);
        try {
          return (await socket.ask(call, signal)) as Result;
        } catch (error) {
          if (!mayRepeat || errorReason(error) !== "CONNECTION_LOST") throw error;
        }
      }
    } finally {
      turns.give();
    }
  }

  return {
    async unary(method, signal, timeoutMs, _header, input) {
      const deadlineMs = methodDeadlineMs(method);
      const limit = timeLimit(timers, timeoutMs || deadlineMs + graceMs, signal);
      try {
        const request = format.encodeRequest(method.input, create(method.input, input));
        const name = `${method.parent.typeName}/${method.name}`;
        const value = { method: name, timeoutMs: timeoutMs || deadlineMs, request };
        const mayRepeat = method.idempotency !== Idempotency.IDEMPOTENCY_UNKNOWN;
        const { result } = await ask({ case: "call", value }, mayRepeat, limit.signal);
        if (result.case === "error") throw fromFrameError(result.value);
        return {
          stream: false,
          service: method.parent,
          method,
          header: new Headers(),
          trailer: new Headers(),
          message: decodeResponse(method, result),
        };
      } finally {
        limit.release();
      }
    },

    async stream({ name }) {
      const message = `${name} is a stream; a socket carries unary calls`;
      throw new ConnectError(message, Code.Unimplemented);
    },
  };
}

function methodDeadlineMs(method: DescMethod): number {
  const deadlineMs = hasOption(method, rules) ? getOption(method, rules).deadlineMs : 0;
  return deadlineMs || defaultDeadlineMs;
}

/** So many at once, the others in the order of their asking. */
class Turns {
  private free: number;
  private readonly waitingMax: number;
  private readonly waiting = new Set<() => void>();

  constructor(atOnceMax: number, waitingMax: number) {
    this.free = atOnceMax;
    this.waitingMax = waitingMax;
  }

  take(signal: AbortSignal): Promise<void> {
    if (this.free > 0) {
      this.free--;
      return Promise.resolve();
    }
    if (this.waiting.size >= this.waitingMax) {
      const message = `${this.waitingMax} calls are waiting, the limit`;
      return Promise.reject(sdkError("TOO_MUCH_WAITING", Code.ResourceExhausted, message));
    }
    return new Promise((resolve, reject) => {
      const go = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      const onAbort = () => {
        this.waiting.delete(go);
        reject(signal.reason);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.waiting.add(go);
    });
  }

  give(): void {
    const [next] = this.waiting;
    if (next) {
      this.waiting.delete(next);
      next();
    } else {
      this.free++;
    }
  }
}
