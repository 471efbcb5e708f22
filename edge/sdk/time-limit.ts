import { Code, ConnectError } from "@connectrpc/connect";
import { sdkError } from "./errors.ts";
import type { Timers } from "./timers.ts";

/** A signal that ends what takes too long. */
export interface TimeLimit {
  /** Aborted with a ConnectError: TIMED_OUT at the limit, else for the outer signal's reason. */
  readonly signal: AbortSignal;
  /** The whole time is left again. */
  restart(): void;
  /** Must be called when the work is done. */
  release(): void;
}

/** Limits work to `limitMs`, and to the outer signal. */
export function timeLimit(timers: Timers, limitMs: number, outer?: AbortSignal): TimeLimit {
  const controller = new AbortController();
  const onOuter = () => controller.abort(ConnectError.from(outer!.reason, Code.Canceled));
  if (outer?.aborted) onOuter();
  outer?.addEventListener("abort", onOuter, { once: true });
  const start = () =>
    timers.setTimer(limitMs, () => {
      const message = `no answer within ${limitMs} ms`;
      controller.abort(sdkError("TIMED_OUT", Code.DeadlineExceeded, message));
    });
  let timer = start();
  return {
    signal: controller.signal,
    restart() {
      timer.cancel();
      timer = start();
    },
    release() {
      timer.cancel();
      outer?.removeEventListener("abort", onOuter);
    },
  };
}
