/**
 * Runs many seeds and shows what the first ones that break an invariant did:
 *
 *   npm run simulate -- --seeds 20000 [--from 1] [--jobs 2] [--variant "never compares tails"]
 *   npm run simulate -- --seed 4711 [--full]
 */
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { invariants, type Violation } from "./invariants.ts";
import { type Run, simulate } from "./simulation.ts";
import { excerpt } from "./trace.ts";
import { variants } from "./variants.ts";
import type { RunOptions } from "./world.ts";

/** Seeds to one message of a worker. */
const chunkSeeds = 50;
/** Failures that are shown; the run ends there. */
const failuresMax = 3;

/** What a worker is to do: every `step`th chunk of seeds. */
interface Job {
  from: number;
  seeds: number;
  first: number;
  step: number;
  variant: string | undefined;
}

/** What a worker has done. */
interface Chunk {
  seeds: number;
  items: number;
  failures: { seed: number; violation: Violation }[];
}

if (isMainThread) process.exitCode = await main();
else await work(workerData as Job);

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "1000" },
      from: { type: "string", default: "1" },
      seed: { type: "string" },
      variant: { type: "string" },
      jobs: { type: "string", default: "1" },
      full: { type: "boolean", default: false },
    },
  });
  if (values.seed !== undefined) return showSeed(Number(values.seed), values.variant, values.full);
  const seeds = Number(values.seeds);
  const jobs = Number(values.jobs);
  const startedMs = performance.now();
  let done = 0;
  let items = 0;
  let shownMs = startedMs;
  const failures: Chunk["failures"] = [];
  await Promise.all(
    Array.from({ length: jobs }, (_, first) => {
      const job: Job = {
        from: Number(values.from),
        seeds,
        first,
        step: jobs,
        variant: values.variant,
      };
      const worker = new Worker(new URL(import.meta.url), { workerData: job });
      worker.on("message", (chunk: Chunk) => {
        done += chunk.seeds;
        items += chunk.items;
        failures.push(...chunk.failures);
        if (performance.now() > shownMs + 2_000) {
          shownMs = performance.now();
          console.error(`${done} of ${seeds} seeds, ${failures.length} failed`);
        }
        if (failures.length >= failuresMax) void worker.terminate();
      });
      return new Promise<void>((resolve, reject) => {
        worker.on("error", reject);
        worker.on("exit", () => resolve());
      });
    }),
  );
  const seconds = (performance.now() - startedMs) / 1_000;
  console.log(
    `${done} seeds in ${seconds.toFixed(1)} s, ${(done / seconds).toFixed(0)} a second; ` +
      `${items} items stored; ${failures.length} seeds failed`,
  );
  failures.sort((a, b) => a.seed - b.seed);
  for (const { seed } of failures.slice(0, failuresMax))
    await showSeed(seed, values.variant, false);
  return failures.length > 0 ? 1 : 0;
}

async function work(job: Job): Promise<void> {
  const end = job.from + job.seeds;
  const options = optionsFor(job.variant);
  for (let from = job.from + job.first * chunkSeeds; from < end; from += job.step * chunkSeeds) {
    const chunk: Chunk = { seeds: 0, items: 0, failures: [] };
    for (let seed = from; seed < Math.min(end, from + chunkSeeds); seed++) {
      const { violation, items } = await simulate(seed, options);
      chunk.seeds++;
      chunk.items += items;
      if (violation) chunk.failures.push({ seed, violation });
    }
    parentPort!.postMessage(chunk);
    // Messages to the main thread leave between turns of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function showSeed(seed: number, variant: string | undefined, full: boolean): Promise<number> {
  const trace: string[] = [];
  const run: Run = await simulate(seed, { ...optionsFor(variant), trace });
  const { violation } = run;
  console.log(`\nseed ${seed}: ${run.events} events, ${run.items} items stored`);
  console.log((full || !violation ? trace : excerpt(trace, violation)).join("\n"));
  if (!violation) return 0;
  console.log(`${violation.invariant} (${invariants[violation.invariant]}) is broken:`);
  console.log(violation.what);
  return 1;
}

/** How a variant is run; its mistake stays in this thread. */
function optionsFor(name: string | undefined): RunOptions {
  if (name === undefined) return {};
  const variant = variants.find((each) => each.name === name);
  if (!variant) {
    throw new Error(
      `no variant ${JSON.stringify(name)}; there are\n${variants.map((each) => `  ${each.name}`).join("\n")}`,
    );
  }
  variant.patch?.();
  const { invariant: only, parts } = variant;
  return parts ? { only, parts } : { only };
}
