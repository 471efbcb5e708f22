import { randomInt } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Cluster, startCluster } from "../../deploy/cluster.ts";
import { provisionServers } from "../../deploy/servers/provision.ts";
import { noFaults, someDialogues } from "../e2e/dialogues.ts";
import { Random } from "../simulation/random.ts";
import { roleKills, serverKills } from "./faults.ts";
import { replayUnder } from "./replay-under.ts";

const startMsMax = 180_000;
const faultMsMax = 300_000;

describe("a cluster that loses one part after the other", () => {
  const seed = Number(process.env.FAULTS_SEED ?? randomInt(2 ** 31));
  const random = new Random(seed);
  // The few of each topic that a replay of 10 s has room for.
  const dialogues = someDialogues(1).slice(0, 40);
  const folder = mkdtempSync(join(tmpdir(), "parley-faults-"));
  const log: string[] = [];
  let cluster: Cluster;

  beforeAll(async () => {
    console.log(`FAULTS_SEED=${seed} makes the same choices`);
    await provisionServers(console.log);
    chmodSync(folder, 0o711);
    cluster = await startCluster({
      folder,
      natsNodes: 1,
      sync: "default",
      edgePorts: [0, 0],
      environment: {
        ...process.env,
        PARLEY_SESSION_PASSWORD_MEMORY_KIB: "8",
        PARLEY_SESSION_PASSWORD_PASSES: "1",
      },
      onLog: (line) => log.push(line),
    });
  }, startMsMax);

  afterAll(async () => {
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  }, startMsMax);

  it.for([...roleKills, ...serverKills])(
    "[M6] [R3] nothing is lost, doubled or reordered: $name",
    { timeout: faultMsMax },
    async (fault) => {
      const { problems, ...result } = await replayUnder(cluster, fault, dialogues, random);
      expect(problems).toEqual([]);
      expect(result).toMatchObject(noFaults);
      expect(result.acknowledged).toBe(result.sent);
    },
  );
});
