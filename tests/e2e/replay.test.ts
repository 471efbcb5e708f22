import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { replayDialogues } from "../../edge/cli/replay-run.ts";
import { allWays } from "../../edge/sdk/index.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { noFaults, someDialogues } from "./dialogues.ts";

const timeoutMs = 300_000;

let parley: ParleyUnderTest;
beforeAll(async () => {
  parley = await openParley();
});
afterAll(() => parley.stop());

it.each(allWays)(
  "[M1] [M2] [M3] [M9] [G2] [G4] [S2] [H2] [T2] what people say and do in a replay by %s reaches every member and the history, once and in order",
  async (way) => {
    const dialogues = someDialogues(way === "websocket" ? 2 : 1);
    const texts = dialogues.reduce((sum, { turns }) => sum + turns.length, 0);
    const { report, problems } = await replayDialogues(dialogues, {
      urls: parley.urls,
      concurrency: 32,
      seed: 20_261_122,
      changedShare: 0.4,
      way,
    });
    expect(problems).toEqual([]);
    expect(report).toMatchObject(noFaults);
    expect(report.sent).toBeGreaterThan(texts);
    expect(report.acknowledged).toBe(report.sent);
    expect(report.delivered).toBeGreaterThan(2 * report.sent);
    expect(report.changed).toBeGreaterThan(0.3 * report.sent);
  },
  timeoutMs,
);

it(
  "the command's last line is its report, and it exits with 0",
  async () => {
    const command = ["run", "--silent", "parley", "--", "replay", "tests/dialogues.jsonl"];
    // An exit code other than 0 rejects.
    const { stdout } = await promisify(execFile)(
      "npm",
      [...command, "--url", parley.urls.join(","), "--limit", "5"],
      { cwd: join(import.meta.dirname, "../..") },
    );
    const report = JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
    const percentiles = { p50: expect.any(Number), p99: expect.any(Number) };
    expect(report).toEqual({
      sent: 26,
      acknowledged: 26,
      delivered: expect.any(Number),
      changed: 0,
      ...noFaults,
      seconds: expect.any(Number),
      ack_ms: percentiles,
      delivery_ms: percentiles,
    });
  },
  timeoutMs,
);
