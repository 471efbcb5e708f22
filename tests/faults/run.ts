/**
 * The long fault suite: every fault once on a cluster of three NATS nodes, each while dialogues are
 * replayed. Writes the table of docs/RELIABILITY.md.
 *   npm run faults -- [--seed N] [--only "kill -9"] [--dialogues 300]
 */
import { randomInt } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { provisionServers } from "../../deploy/servers/provision.ts";
import { faultKinds } from "../../edge/cli/replay-check.ts";
import { OwnCluster } from "../cluster/own-cluster.ts";
import { someDialogues } from "../e2e/dialogues.ts";
import { Random } from "../simulation/random.ts";
import { faults, networkCuts } from "./faults.ts";
import { canCut, runInNamespace } from "./network-cut.ts";
import { type FaultResult, replayUnder } from "./replay-under.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(randomInt(2 ** 31)) },
    only: { type: "string" },
    dialogues: { type: "string", default: "300" },
  },
});
// A namespace of its own has no way to where servers come from.
await provisionServers(console.log);
const exitCode = runInNamespace();
if (exitCode !== undefined) process.exit(exitCode);
if (!canCut) console.log("no network namespace can be made here: networks are not cut");

const random = new Random(Number(values.seed));
const dialogues = someDialogues(3).slice(0, Number(values.dialogues));
const all = canCut ? [...faults, ...networkCuts] : faults;
const chosen = all.filter(({ name }) => values.only === undefined || name.includes(values.only));
console.log(
  `--seed ${values.seed}: ${chosen.length} faults, ${dialogues.length} dialogues at least`,
);

const results: FaultResult[] = [];
const own = await OwnCluster.start({ edges: 2, natsNodes: 3, sync: "always" });
try {
  for (const fault of chosen) {
    const result = await replayUnder(own.cluster, fault, dialogues, random);
    results.push(result);
    console.log(row(result));
    for (const problem of result.problems) console.log(`  ${problem}`);
  }
} finally {
  await own.stop();
}
if (values.only === undefined) writeTable();
process.exit(results.every(isClean) ? 0 : 1);

function row({ fault, sent, acknowledged, delivered, changed, ackMsP99, ...counts }: FaultResult) {
  const found = faultKinds.map((kind) => counts[kind]);
  const columns = [fault, sent, acknowledged, delivered, changed, ...found, Math.round(ackMsP99)];
  return `| ${columns.join(" | ")} |`;
}

function isClean(result: FaultResult): boolean {
  return faultKinds.every((kind) => result[kind] === 0) && result.sent === result.acknowledged;
}

function writeTable(): void {
  const path = join(import.meta.dirname, "../../docs/RELIABILITY.md");
  const text = readFileSync(path, "utf8");
  const names = faultKinds.map((kind) => kind.replaceAll("_", " "));
  const head = ["fault", "sent", "acknowledged", "deliveries", "changes", ...names, "ack p99, ms"];
  const table = [
    `| ${head.join(" | ")} |`,
    `|${"---|".repeat(head.length)}`,
    ...results.map(row),
    "",
    `Seed ${values.seed}; three NATS nodes, three copies, \`sync_interval: always\`.`,
  ].join("\n");
  const [before, rest] = text.split("<!-- faults -->\n");
  const after = rest?.split("<!-- /faults -->")[1] ?? "\n";
  writeFileSync(path, `${before}<!-- faults -->\n${table}\n<!-- /faults -->${after}`);
}
