import { describe, expect, it } from "vitest";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { silentLogger as logger } from "../../mesh/logger.ts";
import { type Stream, StreamUnavailable, type TrimOptions } from "../../mesh/streams.ts";
import { startLogTrimmer } from "./log-trimmer.ts";

const hourMs = 3_600_000;

/** Starts one over a log that removes what `removes` says, call by call. */
function setUp({ logRetentionMs = 7 * 24 * hourMs, removes = [] as (number | Error)[] } = {}) {
  const clock = new ManualClock();
  const calls: TrimOptions[] = [];
  const trim = async (options: TrimOptions) => {
    calls.push(options);
    const removed = removes.shift() ?? 0;
    if (removed instanceof Error) throw removed;
    return removed;
  };
  const deps = { log: { trim } as Stream, workers: ["persist", "fan-out"], clock, logger };
  const trimmer = startLogTrimmer(deps, { logRetentionMs, trimIntervalMs: 60_000 });
  const nextInterval = async () => {
    clock.advance(60_000);
    await new Promise(setImmediate);
  };
  return { calls, trimmer, nextInterval };
}

describe("the log's trimmer", () => {
  it("[M6] removes what every worker has done after the retention, after an hour where the log is nearly full", async () => {
    const { calls, nextInterval } = setUp();
    await nextInterval();
    const workers = ["persist", "fan-out"];
    const olderThanMs = 7 * 24 * hourMs;
    expect(calls).toEqual([{ workers, olderThanMs, pressedOlderThanMs: hourMs }]);
  });

  it("[M6] never keeps a log that is nearly full for longer than others", async () => {
    const { calls, nextInterval } = setUp({ logRetentionMs: 60_000 });
    await nextInterval();
    expect(calls).toMatchObject([{ olderThanMs: 60_000, pressedOlderThanMs: 60_000 }]);
  });

  it("[R3] goes on until there is nothing more, and again when a try has failed", async () => {
    const { calls, nextInterval } = setUp({ removes: [100, 7, 0, new StreamUnavailable("away")] });
    await nextInterval();
    expect(calls).toHaveLength(3);
    await nextInterval();
    await nextInterval();
    expect(calls).toHaveLength(5);
  });

  it("stops", async () => {
    const { calls, trimmer, nextInterval } = setUp();
    await trimmer.stop();
    await nextInterval();
    expect(calls).toEqual([]);
  });
});
