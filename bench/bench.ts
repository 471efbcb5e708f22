/** `make bench`: measures, prints one table, leaves bench/results/*.json. See docs/BENCHMARKS.md. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatTable, loadResult, resultName } from "./results.ts";
import { type Backend, backends } from "./scenario.ts";

const names = [
  ...["memory", "latency", "throughput", "group", "large-group", "catch-up", "away", "history"],
  ...["search", "push", "heartbeats", "log-in"],
];
/** Not on both back ends: an edge by itself, stores and databases. */
const runOnce = ["memory", "history", "search"];

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    backend: { type: "string" },
    quick: { type: "boolean", default: false },
  },
});
const chosen = among("scenario", values.only, names);
const chosenBackends = among("back end", values.backend, backends);
const done: string[] = [];
for (const name of chosen) {
  for (const backend of chosenBackends) {
    if (runOnce.includes(name) && backend === "cluster") continue;
    const result = resultName(name, backend);
    console.log(`${result} …`);
    if ((await run(name, backend)) === 0) done.push(result);
    else process.exitCode = 1;
  }
}
const results = done.map(loadResult);
if (results[0]) {
  const { machine, commit } = results[0];
  console.log(`\n${formatTable(results)}\n\n${commit}, ${JSON.stringify(machine)}`);
}

/** Those asked for, "a,b", or all. Ends the process where there is none of such a name. */
function among<Name extends string>(kind: string, asked: string | undefined, all: readonly Name[]) {
  const isOne = (name: string): name is Name => (all as readonly string[]).includes(name);
  const chosen = asked?.split(",") ?? all;
  const unknown = chosen.filter((name) => !isOne(name));
  if (unknown.length === 0) return chosen.filter(isOne);
  console.error(`bench: no ${kind} ${unknown.join(", ")}; there are ${all.join(", ")}`);
  process.exit(2);
}

/** One at a time: they would take each other's cores. */
async function run(name: string, backend: Backend): Promise<number | null> {
  const script = join(import.meta.dirname, "run-scenario.ts");
  const flags = [...(values.quick ? ["--quick"] : []), `--${backend}`];
  const args = [...process.execArgv, script, name, ...flags];
  const child = spawn(process.execPath, args, { stdio: "inherit" });
  const [code] = await once(child, "exit");
  return code;
}
