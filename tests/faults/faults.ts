/** What can be done to a cluster, one thing at a time, and undone. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Cluster } from "../../deploy/cluster.ts";
import type { ServerProcess } from "../../deploy/servers/server-process.ts";
import { roleNames } from "../../roles.ts";
import type { Random } from "../simulation/random.ts";
import { cutNetwork, portsOf } from "./network-cut.ts";

/** Something that breaks. */
export interface Fault {
  /** "kill -9 message" */
  name: string;
  /** Breaks it; resolves when what broke is whole again. */
  run(cluster: Cluster, random: Random): Promise<void>;
}

/** How long a server is away that was killed. */
const awayMsMin = 2_000;
const awayMsMax = 8_000;
/** Longer than every time-out of a connection that is not used. */
const pauseMs = 15_000;

/** A process of Parley dies; its supervisor starts it again. */
export const roleKills: readonly Fault[] = roleNames.map((role) => ({
  name: `kill -9 ${role}`,
  async run(cluster, random) {
    const process = pickProcess(cluster, role, random);
    process.signal("SIGKILL");
    await sleep(100);
    await process.ready();
  },
}));

/** A process of Parley stands still, as in a long collection or on a machine that swaps. */
export const rolePauses: readonly Fault[] = roleNames.map((role) => ({
  name: `pause ${role} for ${pauseMs / 1_000} s`,
  async run(cluster, random) {
    const process = pickProcess(cluster, role, random);
    process.signal("SIGSTOP");
    await sleep(pauseMs);
    process.signal("SIGCONT");
  },
}));

interface Server {
  process: ServerProcess;
  restart(): Promise<void>;
}

const servers: Record<string, (cluster: Cluster, random: Random) => Server> = {
  NATS: ({ servers }, random) => random.pick([...servers.nats.nodes]),
  Cassandra: ({ servers }) => servers.cassandra,
  PostgreSQL: ({ servers }) => servers.postgres,
  Consul: ({ servers }) => servers.consul,
};

/** A server dies and comes back on its data after a while. */
export const serverKills: readonly Fault[] = Object.entries(servers).map(([name, pick]) => ({
  name: `kill -9 ${name}`,
  async run(cluster, random) {
    const server = pick(cluster, random);
    await server.process.signal("SIGKILL");
    await sleep(random.between(awayMsMin, awayMsMax));
    await server.restart();
  },
}));

/** A server stands still. */
export const serverPauses: readonly Fault[] = Object.entries(servers).map(([name, pick]) => ({
  name: `pause ${name} for ${pauseMs / 1_000} s`,
  async run(cluster, random) {
    const { process } = pick(cluster, random);
    await process.signal("SIGSTOP");
    await sleep(pauseMs);
    await process.signal("SIGCONT");
  },
}));

/** Who calls whom: a role, and a role or a server. */
const ways: readonly [caller: string, called: string][] = [
  ["edge", "message"],
  ["edge", "presence"],
  ["edge", "NATS"],
  ["message", "idgen"],
  ["message", "NATS"],
  ["worker", "NATS"],
  ["worker", "Cassandra"],
  ["session", "PostgreSQL"],
  ["idgen", "Consul"],
];

/** The network between two processes loses every packet; both go on with all others. */
export const networkCuts: readonly Fault[] = ways.map(([caller, called]) => ({
  name: `no network from ${caller} to ${called} for ${pauseMs / 1_000} s`,
  async run(cluster, random) {
    const { pid } = pickProcess(cluster, caller, random);
    await cutNetwork(pid!, portsCalled(cluster, called, random), pauseMs);
  },
}));

/** All of them, but for {@link networkCuts}. */
export const faults: readonly Fault[] = [
  ...roleKills,
  ...serverKills,
  ...rolePauses,
  ...serverPauses,
];

/** Of one instance, or of the whole server. */
function portsCalled(cluster: Cluster, called: string, random: Random): number[] {
  if (roleNames.some((role) => role === called))
    return portsOf(pickProcess(cluster, called, random).pid!);
  const { nats, cassandra, postgres, consul } = cluster.servers;
  const urls = {
    NATS: nats.url.split(","),
    Cassandra: [`cassandra://${cassandra.address}`],
    PostgreSQL: [postgres.url],
    Consul: [consul.url],
  }[called]!;
  return urls.map((url) => Number(new URL(url).port));
}

function pickProcess({ processes }: Cluster, role: string, random: Random) {
  return random.pick(processes.filter((each) => each.role === role));
}
