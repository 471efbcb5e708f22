import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { errorRetryAfterMs } from "../sdk/index.ts";

/** From one try to the next, on top of what the server asks for: half of it up to all of it. */
const pauseMs = 1_000;

/** What a server that is killed or flooded answers, or leaves unanswered. */
const passing: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.ResourceExhausted,
  Code.Aborted,
  Code.Canceled,
]);

/**
 * Makes a call until it is answered, or until the signal ends further tries.
 * @param call is told how often it was tried before
 * @throws ConnectError, the first that another try can't mend, or the last one
 */
export async function untilAnswered<T>(
  signal: AbortSignal,
  call: (triesBefore: number) => Promise<T>,
): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await call(tries);
    } catch (error) {
      if (signal.aborted || !passing.has(ConnectError.from(error).code)) throw error;
      await sleep(errorRetryAfterMs(error) + pauseMs * (0.5 + Math.random() / 2));
    }
  }
}
