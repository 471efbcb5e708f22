/**
 * Time, so that tests can hold it still. Everything that waits or asks for the time takes a
 * `Clock`; only composition roots name the system's.
 */
export interface Clock {
  /** Wall-clock time in milliseconds since 1970. May jump either way. */
  nowMs(): number;
  /** Milliseconds from an arbitrary start; never goes back. For deadlines and leases. */
  monotonicMs(): number;
  /** Calls back once, at the earliest after `delayMs`. Does not keep the process alive. */
  setTimer(delayMs: number, callback: () => void): Timer;
}

/** A pending callback. */
export interface Timer {
  /** Withdraws the callback; does nothing once it has run. */
  cancel(): void;
}

/** The machine's own clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, callback) {
    const dueMs = performance.now() + delayMs;
    let timeout: NodeJS.Timeout;
    // Node counts from the start of the event loop's turn, so that a timer comes too early by what
    // the turn had taken when it was set.
    const wait = (leftMs: number) => {
      timeout = setTimeout(onTimeout, Math.ceil(leftMs));
      timeout.unref();
    };
    const onTimeout = () => {
      const leftMs = dueMs - performance.now();
      if (leftMs > 0) wait(leftMs);
      else callback();
    };
    wait(delayMs);
    return { cancel: () => clearTimeout(timeout) };
  },
};

/** Resolves after `delayMs` of the clock's time, or rejects with the signal's reason. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      timer.cancel();
      reject(signal!.reason);
    };
    const timer = clock.setTimer(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
