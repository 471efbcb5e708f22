import { describe, expect, it, vi } from "vitest";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { parseReplayArgs, replay } from "./replay.ts";
import { Latencies } from "./replay-latencies.ts";
import { Measures } from "./replay-measures.ts";
import { Progress, stallMsDefault } from "./replay-progress.ts";

describe("the replay's arguments", () => {
  it("have defaults", () => {
    const { seed, ...others } = parseReplayArgs(["file"]);
    expect(others).toMatchObject({
      file: "file",
      urls: ["http://localhost:8080"],
      concurrency: 32,
      way: "websocket",
      changedShare: 0,
    });
    expect(seed).toBeGreaterThanOrEqual(0);
  });

  it.each([
    [[], "one FILE is expected, not 0"],
    [["a", "b"], "one FILE is expected, not 2"],
    [["a", "--limit", "0"], "--limit 0 is no whole number from 1 to"],
    [["a", "--concurrency", "1e6"], "--concurrency 1e6 is no whole number from 1 to 1000"],
    [["a", "--seed", ""], "--seed  is no whole number"],
    [["a", "--changes", "101"], "--changes 101 is no whole number from 0 to 100"],
    [["a", "--url", "nowhere"], "--url nowhere is no URL"],
    [["a", "--transport", "pigeon"], "--transport pigeon is none of websocket, sse, poll"],
    [["a", "--speed", "9"], "'--speed'"],
  ])("%j are refused", (args, message) => {
    expect(() => parseReplayArgs(args)).toThrow(message);
  });

  it("that name no file end the command with 2 and a sentence", async () => {
    const error = vi.spyOn(console, "error").mockReturnValue();
    expect(await replay(["/no/such/file"])).toBe(2);
    expect(error.mock.calls.join()).toMatch(/^parley replay: .*no such file/);
    error.mockRestore();
  });
});

describe("the replay's progress", () => {
  it("is drawn on one line", () => {
    const measures = new Measures();
    const clock = new ManualClock();
    let drawn = "";
    const progress = new Progress({ measures, total: 4, clock, write: (text) => (drawn = text) });
    measures.acknowledged = 3;
    clock.advance(2_000);
    expect(drawn).toBe("\r██████████████████░░░░░░ 75 % of 4 texts, 0 deliveries, 2 s\x1b[K");
    progress.stop();
    expect(drawn).toBe("\r\x1b[K");
  });

  it("ends a replay in which nothing has moved for a minute, and no earlier", () => {
    const measures = new Measures();
    const clock = new ManualClock();
    const progress = new Progress({ measures, total: 4, clock, write: undefined });
    clock.advance(stallMsDefault - 1_000);
    measures.moves++;
    clock.advance(stallMsDefault - 1_000);
    expect(progress.stalled.aborted).toBe(false);
    clock.advance(2_000);
    expect(progress.stalled.aborted).toBe(true);
    expect(progress.stalled.reason).toEqual(new Error("nothing has moved for 60 s"));
    progress.stop();
  });
});

describe("percentiles of latencies", () => {
  it("are at most 2 % above the true ones", () => {
    const latencies = new Latencies();
    for (let ms = 1; ms <= 1_000; ms++) latencies.add(ms);
    for (const percent of [1, 50, 99, 100]) {
      expect(latencies.percentile(percent)).toBeGreaterThanOrEqual(percent * 10);
      expect(latencies.percentile(percent)).toBeLessThanOrEqual(percent * 10 * 1.03);
    }
  });

  it("of nothing are 0, and of nothing measurable too small to matter", () => {
    const latencies = new Latencies();
    expect(latencies.percentile(50)).toBe(0);
    latencies.add(0);
    expect(latencies.percentile(99)).toBe(0.01);
  });
});
