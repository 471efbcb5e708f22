import { setTimeout as sleep } from "node:timers/promises";
import type { Cluster } from "../../deploy/cluster.ts";
import { type FaultKind, faultKinds } from "../../edge/cli/replay-check.ts";
import type { Dialogue } from "../../edge/cli/replay-dialogues.ts";
import { type ReplayReport, replayDialogues } from "../../edge/cli/replay-run.ts";
import type { Random } from "../simulation/random.ts";
import type { Fault } from "./faults.ts";

/** What clients lived through while something was broken, by their own records. */
export interface FaultResult extends Record<FaultKind, number> {
  fault: string;
  sent: number;
  acknowledged: number;
  delivered: number;
  changed: number;
  /** Of the replay that took the longest to be acknowledged. */
  ackMsP99: number;
  problems: string[];
}

/** From the replay's start to the fault: into the sign-ups, or into the talk. */
const beforeMsMin = 500;
const beforeMsMax = 4_000;
/** Around so many turns people also edit, delete, react, answer, come and go. */
const changedShare = 0.3;
/** Clients wait up to 30 s between attempts, and servers need time to start. */
const stallMs = 240_000;

/** Replays dialogues over all edges while a fault happens, again until it is over, and once more. */
export async function replayUnder(
  cluster: Cluster,
  fault: Fault,
  dialogues: readonly Dialogue[],
  random: Random,
): Promise<FaultResult> {
  const counts = Object.fromEntries(faultKinds.map((kind) => [kind, 0])) as ReplayCounts;
  const result: FaultResult = {
    fault: fault.name,
    ...counts,
    sent: 0,
    acknowledged: 0,
    delivered: 0,
    changed: 0,
    ackMsP99: 0,
    problems: [],
  };
  const replay = async () => {
    const seed = random.between(0, 1_000);
    const options = { urls: cluster.edgeUrls, concurrency: 16, seed, changedShare, stallMs };
    const { report, problems } = await replayDialogues(dialogues, options);
    add(result, report, problems);
  };
  let isOver = false;
  const breaking = sleep(random.between(beforeMsMin, beforeMsMax))
    .then(() => fault.run(cluster, random))
    .finally(() => {
      isOver = true;
    });
  const replaying = (async () => {
    while (!isOver) await replay();
    await replay();
  })();
  await Promise.all([breaking, replaying]);
  return result;
}

type ReplayCounts = Record<FaultKind, number>;

function add(result: FaultResult, report: ReplayReport, problems: readonly string[]): void {
  for (const kind of faultKinds) result[kind] += report[kind];
  result.sent += report.sent;
  result.acknowledged += report.acknowledged;
  result.delivered += report.delivered;
  result.changed += report.changed;
  result.ackMsP99 = Math.max(result.ackMsP99, report.ack_ms.p99);
  result.problems.push(...problems);
}
