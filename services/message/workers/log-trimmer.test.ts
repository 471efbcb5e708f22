import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../mesh/clock-manual.ts";
import { silentLogger as logger } from "../../../mesh/logger.ts";
import { type Stream, StreamUnavailable, type TrimOptions } from "../../../mesh/streams.ts";
import { createDirect, type Decide, directChannelId, sendText } from "../channel/changes.ts";
import { ChannelWriter } from "../channel/channel-writer.ts";
import { MessageFixture } from "../message-fixture.ts";
import { pressedRetentionMs, startLogTrimmer } from "./log-trimmer.ts";

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
  const log = { trim } as Stream;
  const deps = { log, workers: ["persist", "index"], pressedWorkers: ["persist"], clock, logger };
  const trimmer = startLogTrimmer(deps, { logRetentionMs, trimIntervalMs: 60_000 });
  const nextInterval = async () => {
    clock.advance(60_000);
    await new Promise(setImmediate);
  };
  return { calls, trimmer, nextInterval };
}

describe("the log's trimmer", () => {
  it("[M6] removes what every worker has done after the retention, after an hour and without the index where the log is nearly full", async () => {
    const { calls, nextInterval } = setUp();
    await nextInterval();
    expect(calls).toEqual([
      {
        ...{ workers: ["persist", "index"], olderThanMs: 7 * 24 * hourMs },
        ...{ pressedWorkers: ["persist"], pressedOlderThanMs: hourMs },
      },
    ]);
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

describe("a log that is trimmed after an hour", () => {
  const channelId = directChannelId("ann", "ben");
  const waitMs = fc.oneof(fc.nat({ max: 2 * hourMs }), fc.constantFrom(0, hourMs / 2 - 1, hourMs));
  const what = fc.constantFrom("send", "send elsewhere", "work", "work without the store");
  const steps = fc.array(fc.record({ waitMs, what }), { minLength: 5, maxLength: 30 });

  it("[M6] [R3] has what workers that start cold, and writers, have yet to rest on", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (steps) => {
        const fixture = new MessageFixture();
        const writers = [1, 2].map(() => new ChannelWriter(channelId, fixture.writing));
        let sent = 0;
        const send = (writer: ChannelWriter, decide: Decide, clientMessageId = "") =>
          new Promise<void>((resolve, reject) => {
            writer.submit({
              ...{ senderId: "ann", clientMessageId, clientTimeMs: fixture.clock.nowMs() },
              ...{ replyToMessageId: 0n, traceParent: "", bytes: 1, decide },
              deadlineMs: fixture.clock.nowMs() + 10_000,
              done: (outcome) => (outcome instanceof Error ? reject(outcome) : resolve()),
            });
          });
        const create = createDirect(channelId, "ann", "ben", fixture.clock.nowMs());
        await send(writers[0]!, create);
        for (const { waitMs, what } of [...steps, { waitMs: 0, what: "work" }]) {
          fixture.clock.advance(waitMs);
          if (what.startsWith("send")) {
            const writer = writers[what === "send" ? 0 : 1]!;
            const decide = sendText(channelId, "ann", `${++sent}`, 0n);
            await send(writer, decide, fixture.clientId());
          } else {
            fixture.storeFaults.chances = { writeLost: what === "work" ? 0 : 1 };
            await fixture.work(pressedRetentionMs);
          }
        }
        const all = { channelId, newestFirst: false, limit: 100 };
        const stored = await fixture.store.listMessages(all);
        expect(stored.slice(1).map(({ message }) => message.body.value)).toEqual(
          Array.from({ length: sent }, (_, i) => `${i + 1}`),
        );
      }),
      { numRuns: 50 },
    );
  }, 60_000);
});
