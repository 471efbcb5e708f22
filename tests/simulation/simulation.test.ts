import { afterEach, describe, expect, it } from "vitest";
import { foundSeeds } from "./found-seeds.ts";
import { simulate } from "./simulation.ts";
import { variants } from "./variants.ts";

/** Seeds of a run of the tests; `npm run simulate` runs any number. */
const seeds = 1_500;
const seedsPerTest = 100;
/** Within so many seeds every mistake must be found. */
const variantSeedsMax = 1_000;

const stackTraceLimit = Error.stackTraceLimit;

afterEach(() => {
  Error.stackTraceLimit = stackTraceLimit;
});

describe("the way of a message, simulated with faults", () => {
  for (let first = 1; first < seeds; first += seedsPerTest) {
    const last = first + seedsPerTest - 1;
    it(`[M1] [M5] [M6] [M7] [G4] [S2] [H6] keeps every invariant with the seeds ${first} to ${last}`, async () => {
      for (let seed = first; seed <= last; seed++) {
        const { violation } = await simulate(seed);
        expect(violation, `seed ${seed}`).toBeUndefined();
      }
    }, 120_000);
  }

  for (const { seed, found } of foundSeeds) {
    it(`[M6] keeps every invariant with the seed ${seed}: ${found}`, async () => {
      expect((await simulate(seed)).violation).toBeUndefined();
    });
  }

  it("[M6] repeats a run exactly, from its seed alone", async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const traces: string[][] = [[], []];
      for (const trace of traces) await simulate(seed, { trace });
      expect(traces[0]!.length).toBeGreaterThan(10);
      expect(traces[1]).toEqual(traces[0]);
    }
  });
});

describe("a system that", () => {
  for (const { name, invariant, patch, parts } of variants) {
    it(`${name} is caught by ${invariant}`, async () => {
      const options = parts ? { only: invariant, parts } : { only: invariant };
      const restore = patch?.();
      try {
        for (let seed = 1; seed <= variantSeedsMax; seed++) {
          if ((await simulate(seed, options)).violation) {
            console.log(`caught by seed ${seed}: a system that ${name}`);
            return;
          }
        }
        expect.fail(`not caught within ${variantSeedsMax} seeds`);
      } finally {
        restore?.();
      }
    }, 120_000);
  }
});
