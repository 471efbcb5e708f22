/** `make bench`: measures, prints one table, leaves bench/results/*.json. See docs/BENCHMARKS.md. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Backend } from "./load-server.ts";
import { formatTable, loadResult, resultName } from "./results.ts";

const names = ["memory", "latency", "throughput", "group", "catch-up", "history"];
/** An edge by itself is on neither back end; the stores are compared in one run. */
const runOnce = ["memory", "history"];

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    backend: { type: "string", default: "embedded,cluster" },
    quick: { type: "boolean", default: false },
  },
});
const chosen = values.only === undefined ? names : values.only.split(",");
const unknown = chosen.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  console.error(`bench: no scenario ${unknown.join(", ")}; there are ${names.join(", ")}`);
  process.exit(2);
}

const backends = values.backend.split(",");
const done: string[] = [];
for (const name of chosen) {
  for (const backend of ["embedded", "cluster"] as const) {
    if (!backends.includes(backend) || (runOnce.includes(name) && backend === "cluster")) continue;
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

/** One at a time: they would take each other's cores. */
async function run(name: string, backend: Backend): Promise<number | null> {
  const script = join(import.meta.dirname, "run-scenario.ts");
  const flags = [...(values.quick ? ["--quick"] : []), `--${backend}`];
  const args = [...process.execArgv, script, name, ...flags];
  const child = spawn(process.execPath, args, { stdio: "inherit" });
  const [code] = await once(child, "exit");
  return code;
}
