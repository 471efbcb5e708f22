import { Code, ConnectError } from "@connectrpc/connect";
import { sdkError } from "./errors.ts";
import type { Timers } from "./timers.ts";

/** A signal that ends what takes too long. */
export interface TimeLimit {
  /** Aborted with a ConnectError: TIMED_OUT at the limit, else for the outer signal's reason. */
  readonly signal: AbortSignal;
  /** Must be called when the work is done. */
  release(): void;
}

/** Limits work to `limitMs`, and to the outer signal. */
export function timeLimit(timers: Timers, limitMs: number, outer?: AbortSignal): TimeLimit {
  const controller = new AbortController();
  const onOuter = () => controller.abort(ConnectError.from(outer!.reason, Code.Canceled));
  if (outer?.aborted) onOuter();
  outer?.addEventListener("abort", onOuter, { once: true });
  const timer = timers.setTimer(limitMs, () => {
    const message = `no answer within ${limitMs} ms`;
    controller.abort(sdkError("TIMED_OUT", Code.DeadlineExceeded, message));
  });
  return {
    signal: controller.signal,
    release() {
      timer.cancel();
      outer?.removeEventListener("abort", onOuter);
    },
  };
}
