/**
 * Runs of several users with several devices each, made by a seed, against the real mesh: what is
 * stored, what everybody reads and what every device has in the end must be as the model says.
 *
 *   PARLEY_MODEL_SEED=4711 PARLEY_MODEL_RUNS=50 npx vitest run --project embedded tests/model
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, it, vi } from "vitest";
import { times } from "../../bench/load-users.ts";
import { newAccount } from "../e2e/device.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { checkRun } from "./checks.ts";
import { deleteGroups } from "./deletion.ts";
import { fillersCount, plans } from "./operations.ts";
import { Run } from "./run.ts";

const seed = Number(process.env.PARLEY_MODEL_SEED ?? Date.now() % 2 ** 31);
const numRuns = Number(process.env.PARLEY_MODEL_RUNS ?? 5);

vi.setConfig({ testTimeout: 60_000 + numRuns * 20_000 });

let parley: ParleyUnderTest;
/** Members of large groups, of all runs. */
let fillerIds: string[];
beforeAll(async () => {
  parley = await openParley();
  const url = parley.nextUrl();
  fillerIds = await times(fillersCount, async () => (await newAccount(url, "filler")).userId, 8);
}, 120_000);
afterAll(() => parley?.stop());

describe("the model", () => {
  it("[S1] [S2] [S3] [S4] [S5] [M1] [M5] [M8] [M9] [G1] [G2] [G3] [G4] [H6] whatever devices do, offline and at once, all end as the model says", async () => {
    console.log(`model: seed ${seed}, ${numRuns} runs`);
    let liveRuns = 0;
    const property = fc.asyncProperty(plans, async (plan) => {
      const run = new Run(parley.nextUrl, fillerIds);
      await run.prepare();
      await run.play(plan);
      if (await checkRun(run)) liveRuns++;
      await deleteGroups(run);
      await run.close();
    });
    // What happens at the same time is not the same twice: a smaller plan proves nothing.
    await fc.assert(property, { seed, numRuns, endOnFailure: true });
    console.log(`model: a group turned LIVE in ${liveRuns} of them`);
  });
});
