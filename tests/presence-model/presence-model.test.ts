import { expect, it } from "vitest";
import { runPresence } from "./run-of-presence.ts";

/** Runs of the tests; `npm run presence-model` does any number. */
const seeds = 400;
const seedsPerTest = 100;

for (let first = 1; first < seeds; first += seedsPerTest) {
  const last = first + seedsPerTest - 1;
  it(`[P1] [P2] [P3] [P5] Presence agrees with its model with the seeds ${first} to ${last}`, async () => {
    for (let seed = first; seed <= last; seed++) {
      const { violation } = await runPresence(seed);
      expect(violation, `seed ${seed}`).toBeUndefined();
    }
  }, 120_000);
}

it("[P3] who is told offline by the owner before, and is back, is told online when the next has settled", async () => {
  expect((await runPresence(4_998)).violation).toBeUndefined();
});
