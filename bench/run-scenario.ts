/** Runs one scenario in a process of its own, which is the load generator: bench.ts starts it. */
import { away } from "./away.ts";
import { catchUp } from "./catch-up.ts";
import { group } from "./group.ts";
import { heartbeats } from "./heartbeats.ts";
import { history } from "./history.ts";
import { largeGroup } from "./large-group.ts";
import { latency } from "./latency.ts";
import { logIn } from "./log-in.ts";
import { describeMachine } from "./machine.ts";
import { memory } from "./memory.ts";
import { push } from "./push.ts";
import { resultName, storeResult } from "./results.ts";
import type { Scenario } from "./scenario.ts";
import { search } from "./search.ts";
import { throughput } from "./throughput.ts";

const scenarios: Record<string, Scenario> = {
  memory,
  heartbeats,
  latency,
  "log-in": logIn,
  throughput,
  group,
  "catch-up": catchUp,
  history,
  search,
  push,
  away,
  "large-group": largeGroup,
};

const [name = "", ...flags] = process.argv.slice(2);
const quick = flags.includes("--quick");
const backend = flags.includes("--cluster") ? "cluster" : "embedded";
const machine = await describeMachine();
const result = await scenarios[name]!({ quick, backend });
storeResult({ scenario: resultName(name, backend), quick, machine }, result);
for (const note of result.notes) console.log(`\n${note}`);
// Sockets of clients that were dropped may linger.
process.exit(0);
