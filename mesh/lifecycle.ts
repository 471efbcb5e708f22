/**
 * How a process ends: on a signal it drains and exits 0; a second signal ends it at once, and so
 * does a minute.
 */

/** Longer than an edge's drain. A part that waits for what does not come back must not stay. */
const endMsMax = 60_000;

/** Resolves with the name of the first SIGINT or SIGTERM. */
export function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const names: NodeJS.Signals[] = ["SIGINT", "SIGTERM"];
    let draining = false;
    for (const name of names) {
      process.on(name, () => {
        if (draining) process.exit(130);
        draining = true;
        setTimeout(() => process.exit(1), endMsMax).unref();
        resolve(name);
      });
    }
  });
}

/**
 * Waits for a part's end, but not for ever: a part that hangs must not keep the process from
 * ending. Rejects as the part does.
 */
export async function within(timeoutMs: number, ending: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  try {
    await Promise.race([ending, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
