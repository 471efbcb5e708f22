import { randomInt } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OwnCluster, startMsMax } from "../cluster/own-cluster.ts";
import { noFaults, someDialogues } from "../e2e/dialogues.ts";
import { Random } from "../simulation/random.ts";
import { roleKills, serverKills } from "./faults.ts";
import { replayUnder } from "./replay-under.ts";

const faultMsMax = 300_000;

describe("a cluster that loses one part after the other", () => {
  const seed = Number(process.env.FAULTS_SEED ?? randomInt(2 ** 31));
  const random = new Random(seed);
  // The few of each topic that a replay of 10 s has room for.
  const dialogues = someDialogues(1).slice(0, 40);
  let own: OwnCluster;

  beforeAll(async () => {
    console.log(`FAULTS_SEED=${seed} makes the same choices`);
    own = await OwnCluster.start({ edges: 2 });
  }, startMsMax);

  afterAll(() => own?.stop(), startMsMax);

  it.for([...roleKills, ...serverKills])(
    "[M6] [R3] nothing is lost, doubled or reordered: $name",
    { timeout: faultMsMax },
    async (fault) => {
      const { problems, ...result } = await replayUnder(own.cluster, fault, dialogues, random);
      expect(problems).toEqual([]);
      expect(result).toMatchObject(noFaults);
      expect(result.acknowledged).toBe(result.sent);
    },
  );
});
