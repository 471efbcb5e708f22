import { randomInt } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { replayDialogues } from "../../edge/cli/replay-run.ts";
import { startParley } from "../parley-process.ts";
import { Random } from "../simulation/random.ts";
import { noFaults, someDialogues } from "./dialogues.ts";

const killsMin = 5;
const killsMax = 7;
/** From a server's readiness to its end. */
const lifeMsMin = 500;
const lifeMsMax = 5_000;
/**
 * Clients wait up to 30 s between attempts, and on a busy machine the server is down for longer
 * than it is up: for as long as the kills go on, nothing may move.
 */
const stallMs = 240_000;
const timeoutMs = 480_000;

it(
  "[M5] [M6] [S3] nothing is lost, doubled or reordered though the server is killed again and again",
  async () => {
    const seed = Number(process.env.KILL_SEED ?? randomInt(2 ** 31));
    console.log(`KILL_SEED=${seed} makes the same choices`);
    const random = new Random(seed);
    const dialogues = someDialogues(1);
    const dataDir = mkdtempSync(join(tmpdir(), "parley-kill-"));
    let parley = await startParley({ dataDir });
    const { url, port } = parley;
    let kills = 0;
    let isOver = false;

    const kill = async () => {
      while (!isOver && kills < killsMax) {
        await sleep(random.between(lifeMsMin, lifeMsMax));
        await parley.kill();
        kills++;
        parley = await startParley({ dataDir, port });
      }
    };
    const replay = async () => {
      do {
        const options = { urls: [url], concurrency: 32, seed: random.between(0, 1_000), stallMs };
        const { report, problems } = await replayDialogues(dialogues, options);
        expect(problems).toEqual([]);
        expect(report).toMatchObject(noFaults);
        expect(report.acknowledged).toBe(report.sent);
      } while (kills < killsMin);
      isOver = true;
    };

    try {
      await Promise.all([kill(), replay()]);
    } finally {
      isOver = true;
      await parley.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  },
  timeoutMs,
);
