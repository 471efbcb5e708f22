import { afterAll, beforeAll, expect, it } from "vitest";
import { replayDialogues } from "../../edge/cli/replay-run.ts";
import { type ParleyProcess, startParley } from "../parley-process.ts";
import { noFaults, someDialogues } from "./dialogues.ts";

const timeoutMs = 120_000;

let parley: ParleyProcess;
beforeAll(async () => {
  parley = await startParley();
});
afterAll(() => parley.stop());

it(
  "[M1] [M2] [M3] [G2] [H2] every text of a replay reaches every member and the history, once and in order",
  async () => {
    const dialogues = someDialogues(2);
    const texts = dialogues.reduce((sum, { turns }) => sum + turns.length, 0);
    const { report, problems } = await replayDialogues(dialogues, {
      url: parley.url,
      concurrency: 32,
      seed: 20_261_122,
    });
    expect(problems).toEqual([]);
    expect(report).toMatchObject(noFaults);
    expect(report.sent).toBeGreaterThan(texts);
    expect(report.acknowledged).toBe(report.sent);
    expect(report.delivered).toBeGreaterThan(2 * report.sent);
  },
  timeoutMs,
);
