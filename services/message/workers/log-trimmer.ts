/**
 * What makes room in the log: removes what all workers have done, once it is old enough that nothing
 * rests on it any more. Where the log is nearly full it removes it sooner, and does not wait for
 * workers whose work can be done anew without it.
 */
import type { Clock } from "../../../mesh/clock.ts";
import type { ConfigOf } from "../../../mesh/config.ts";
import type { Logger } from "../../../mesh/logger.ts";
import type { Running, Stream } from "../../../mesh/streams.ts";
import { snapshotAgeMaxMsDefault } from "../channel/channel-writer.ts";
import type { messageConfig } from "../message-config.ts";

/**
 * How long a log that is nearly full keeps what is done: 1 hour. Workers and cold loads need the
 * snapshot that an entry rests on, which is half as old at most, and an append in flight needs
 * what it follows for seconds.
 */
export const pressedRetentionMs = 2 * snapshotAgeMaxMsDefault;

/** What the trimmer works on. */
export interface TrimmerDependencies {
  log: Stream;
  /** The names of the workers that must be done with what goes. */
  workers: readonly string[];
  /** Those of them that a log which is nearly full waits for too. */
  pressedWorkers: readonly string[];
  clock: Clock;
  logger: Logger;
}

/** Starts trimming, every `trimIntervalMs`. Several processes may: it is the same to all. */
export function startLogTrimmer(
  { log, workers, pressedWorkers, clock, logger }: TrimmerDependencies,
  { logRetentionMs, trimIntervalMs }: ConfigOf<typeof messageConfig>,
): Running {
  const options = {
    workers,
    pressedWorkers,
    olderThanMs: logRetentionMs,
    pressedOlderThanMs: Math.min(pressedRetentionMs, logRetentionMs),
  };
  let stopped = false;
  let trimming = Promise.resolve();
  let timer = clock.setTimer(trimIntervalMs, startTrimming);
  return {
    async stop() {
      stopped = true;
      timer.cancel();
      await trimming;
    },
  };

  function startTrimming(): void {
    trimming = trim().finally(() => {
      if (!stopped) timer = clock.setTimer(trimIntervalMs, startTrimming);
    });
  }

  /** A call removes a limited number; until there are none more, so that a busy log is kept up with. */
  async function trim(): Promise<void> {
    try {
      for (let removed = 1; removed > 0 && !stopped; ) {
        removed = await log.trim(options);
        if (removed > 0) logger.info({ event: "log_trimmed", removed });
      }
    } catch (err) {
      logger.warn({ event: "log_not_trimmed", err });
    }
  }
}
