/**
 * Compares Presence with its model over many seeds, and shows what the first one that differs did:
 *
 *   npm run presence-model -- --seeds 10000 [--from 1]
 */
import { parseArgs } from "node:util";
import { runPresence } from "./run-of-presence.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
  },
});
const first = Number(values.from);
const last = first + Number(values.seeds) - 1;
const startedMs = performance.now();
let shownMs = startedMs;
let events = 0;
let seed = first;
for (; seed <= last; seed++) {
  const run = await runPresence(seed);
  events += run.events;
  if (run.violation) {
    console.log(`seed ${seed}:\n${run.violation}`);
    process.exitCode = 1;
    break;
  }
  if (performance.now() > shownMs + 2_000) {
    shownMs = performance.now();
    console.error(`${seed - first + 1} of ${values.seeds} seeds`);
  }
}
const seconds = (performance.now() - startedMs) / 1_000;
const outcome = process.exitCode ? `seed ${seed} differs` : "all agree";
console.log(
  `seeds ${first} to ${Math.min(seed, last)} in ${seconds.toFixed(1)} s, ${events} events: ${outcome}`,
);
