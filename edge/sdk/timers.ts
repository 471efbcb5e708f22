/** Time as the SDK sees it, so that tests can hold it still. */
export interface Timers {
  /** Wall-clock time in milliseconds since 1970. May jump either way. */
  nowMs(): number;
  /** Calls back once, at the earliest after `delayMs` (at most 24 days). */
  setTimer(delayMs: number, callback: () => void): { cancel(): void };
}

/** The machine's own time. */
export const systemTimers: Timers = {
  nowMs: () => Date.now(),
  setTimer(delayMs, callback) {
    const timeout = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timeout) };
  },
};

/** Resolves after `delayMs`, or rejects with the signal's reason. */
export function sleep(timers: Timers, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const onAbort = () => {
      timer.cancel();
      reject(signal.reason);
    };
    const timer = timers.setTimer(delayMs, () => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
