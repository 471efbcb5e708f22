/**
 * Cuts the network between two processes of a cluster, packet by packet, while both go on and
 * others reach them: in a network namespace of this run's own, where routing rules drop what
 * travels between the two. Needs root on Linux and iproute2.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

const insideEnv = "PARLEY_FAULTS_NAMESPACE";
/** Connections that are made while the way is cut last so long at most. */
const lookMs = 50;
/** Before the rules of a namespace for what is local, which this makes room for. */
const cutPriority = "10";
const localPriority = "100";

/** Whether this process is in a namespace of its own, where it may cut. */
export const canCut = process.env[insideEnv] !== undefined;

/**
 * Runs this program again in a network namespace of its own, where one can be made.
 * @returns its exit code; undefined: it is inside already, or there is no such thing here
 */
export function runInNamespace(): number | undefined {
  if (canCut || spawnSync("unshare", ["--net", "ip", "rule"]).status !== 0) return undefined;
  const setUp = [
    "ip link set lo up",
    `ip rule add priority ${localPriority} lookup local`,
    "ip rule del priority 0",
    'exec "$0" "$@"',
  ].join(" && ");
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const { status } = spawnSync("unshare", ["--net", "sh", "-c", setUp, ...again], {
    stdio: "inherit",
    env: { ...process.env, [insideEnv]: "1" },
  });
  return status ?? 1;
}

/**
 * Cuts what a process has with others' ports for a time: packets of its connections to them are
 * dropped both ways, those of connections that it makes meanwhile too.
 */
export async function cutNetwork(pid: number, ports: readonly number[], ms: number): Promise<void> {
  const cut = new Map<string, string[][]>();
  const endMs = Date.now() + ms;
  try {
    while (Date.now() < endMs) {
      for (const { own, other } of connectionsOf(pid)) {
        const key = `${own}-${other}`;
        if (!ports.includes(other) || cut.has(key)) continue;
        const rules = [rule(own, other), rule(other, own)];
        cut.set(key, rules);
        for (const each of rules) execFileSync("ip", ["rule", "add", ...each]);
      }
      await sleep(lookMs);
    }
  } finally {
    for (const rules of cut.values()) {
      for (const each of rules) execFileSync("ip", ["rule", "del", ...each]);
    }
  }
  if (cut.size === 0) throw new Error(`process ${pid} had no connection to ${ports.join(", ")}`);
}

/** The ports that a process listens on. */
export function portsOf(pid: number): number[] {
  return sockets("-tlnpH", pid).map(({ own }) => own);
}

function connectionsOf(pid: number): { own: number; other: number }[] {
  return sockets("-tnpH", pid);
}

/** Of a line of `ss`: state, two queues, the own address, the other's, and who has it. */
function sockets(flags: string, pid: number): { own: number; other: number }[] {
  return execFileSync("ss", [flags], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.includes(`pid=${pid},`))
    .map((line) => line.split(/\s+/))
    .map(([, , , own, other]) => ({ own: portIn(own), other: portIn(other) }));
}

function portIn(address = ""): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}

function rule(from: number, to: number): string[] {
  const ports = ["sport", String(from), "dport", String(to)];
  return ["priority", cutPriority, "ipproto", "tcp", ...ports, "blackhole"];
}
