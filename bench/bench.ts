/** `make bench`: measures, prints one table, leaves bench/results/*.json. See docs/BENCHMARKS.md. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatTable, loadResult } from "./results.ts";

const names = ["memory", "latency", "throughput", "group", "catch-up"];

const { values } = parseArgs({
  options: { only: { type: "string" }, quick: { type: "boolean", default: false } },
});
const chosen = values.only === undefined ? names : values.only.split(",");
const unknown = chosen.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  console.error(`bench: no scenario ${unknown.join(", ")}; there are ${names.join(", ")}`);
  process.exit(2);
}

const done: string[] = [];
for (const name of chosen) {
  console.log(`${name} …`);
  if ((await run(name)) === 0) done.push(name);
  else process.exitCode = 1;
}
const results = done.map(loadResult);
if (results[0]) {
  const { machine, commit } = results[0];
  console.log(`\n${formatTable(results)}\n\n${commit}, ${JSON.stringify(machine)}`);
}

/** One at a time: they would take each other's cores. */
async function run(name: string): Promise<number | null> {
  const script = join(import.meta.dirname, "run-scenario.ts");
  const args = [...process.execArgv, script, name, ...(values.quick ? ["--quick"] : [])];
  const child = spawn(process.execPath, args, { stdio: "inherit" });
  const [code] = await once(child, "exit");
  return code;
}
