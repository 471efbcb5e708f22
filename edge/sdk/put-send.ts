/** A text on the wire, once. */
import type { SendResult } from "../../gen/parley/edge/v1/frame_pb.js";
import type { Connection } from "./connection.ts";
import type { QueuedSend } from "./device-entries.ts";
import { fromFrameError } from "./errors.ts";
import type { SentResult } from "./events.ts";
import { timeLimit } from "./time-limit.ts";
import type { Timers } from "./timers.ts";

/** From putting a text on the wire to trying again: SendMessage's deadline, and 5 s. */
const sendTimeoutMs = 15_000;

/** Puts a text on a connection, and waits for its answer. @throws ConnectError */
export async function putSend(
  { channelId, clientMessageId, text, replyToMessageId }: QueuedSend,
  connection: NonNullable<Connection["current"]>,
  timers: Timers,
  signal: AbortSignal,
): Promise<SentResult> {
  const limit = timeLimit(timers, sendTimeoutMs, signal);
  try {
    const value = { request: { channelId, clientMessageId, text, replyToMessageId } };
    const { result } = (await connection.ask({ case: "send", value }, limit.signal)) as SendResult;
    if (result.case === "response") return placeOf(result.value);
    throw fromFrameError(result.value!);
  } finally {
    limit.release();
  }
}

/** What an answer says, or the message itself, of where a text has its place. */
export function placeOf(sent: SentResult): SentResult {
  const { messageId, prevMessageId, channelSequence, sendTime } = sent;
  return { messageId, prevMessageId, channelSequence, ...(sendTime && { sendTime }) };
}
