/**
 * What a message costs in a group of 100,000 members of whom 10,000 are connected over two edges,
 * beside one of 1,000, on a cluster. Each group is measured with several numbers of devices: for
 * the same number, only the size of the group differs between the two.
 */
import { measure, settled, startClosedLoop } from "./closed-loop.ts";
import { aboveIdle, cpuFigures } from "./cpu-figures.ts";
import { createAccounts, createLargeGroup, memberName } from "./large-group-members.ts";
import { Latencies } from "./latencies.ts";
import { Account, LoadChannel } from "./load-channel.ts";
import { closeClients, LoadClient } from "./load-client.ts";
import { startHeartbeats } from "./load-heartbeats.ts";
import { type LoadServer, startServer } from "./load-server.ts";
import { lastSequence, logIn, times } from "./load-users.ts";
import { anonymousBytes } from "./process-memory.ts";
import type { Figure, ScenarioResult } from "./scenario.ts";
import { tick } from "./ticker.ts";

const sendersCount = 10;
/** Incomplete sends of each sender in the closed loop: 200,000 deliveries to 10,000 devices. */
const window = 2;
/** Between them the first to connect get their heartbeats. */
const connectedAtOnce = 500;

interface Sizes {
  /** Members of each group, and how many of them are connected when it is measured. */
  groups: { members: number; connected: number[] }[];
  /** Of the open loop: messages a second times devices. */
  deliveriesPerSecond: number;
  seconds: { idle: number; open: number; warm: number; closed: number };
}

const whole: Sizes = {
  groups: [
    { members: 1_000, connected: [100, 1_000] },
    { members: 100_000, connected: [100, 1_000, 10_000] },
  ],
  deliveriesPerSecond: 40_000,
  seconds: { idle: 15, open: 60, warm: 5, closed: 30 },
};
const brief: Sizes = {
  groups: [
    { members: 200, connected: [100] },
    { members: 2_000, connected: [100, 500] },
  ],
  deliveriesPerSecond: 4_000,
  seconds: { idle: 3, open: 5, warm: 2, closed: 5 },
};

/** One group after the other, with more and more of its members connected. */
export async function largeGroupOnCluster(quick: boolean): Promise<ScenarioResult> {
  const sizes = quick ? brief : whole;
  const server = await startServer("cluster");
  try {
    await createAccounts(server, Math.max(...sizes.groups.map(({ members }) => members)));
    const figures: Figure[] = [];
    for (const { members, connected } of sizes.groups) {
      const started = performance.now();
      const channelId = await createLargeGroup(server.urls, members);
      const addingSeconds = (performance.now() - started) / 1_000;
      const of = `${members.toLocaleString("en")} members`;
      figures.push({ name: `${of}: adding them`, value: addingSeconds, unit: "s" });
      const devices = new Devices(server, channelId);
      for (const count of connected) {
        const memory = await devices.connect(count);
        const name = `${of}, ${count.toLocaleString("en")} connected`;
        const all = [...memory, ...(await measureGroup(server, channelId, devices.clients, sizes))];
        figures.push(...all.map((figure) => ({ ...figure, name: `${name}: ${figure.name}` })));
      }
      await devices.close();
    }
    return { figures, notes: [] };
  } finally {
    await server.stop();
  }
}

/** Devices that follow a group, connected to both edges in turn. */
class Devices {
  readonly clients: LoadClient[] = [];
  private readonly server: LoadServer;
  private readonly channelId: string;
  private heartbeats: { stop(): void } | undefined;

  constructor(server: LoadServer, channelId: string) {
    this.server = server;
    this.channelId = channelId;
  }

  /** Connects further members until there are so many. @returns what each takes of the edges */
  async connect(count: number): Promise<Figure[]> {
    const { server, channelId, clients } = this;
    const { urls } = server;
    const [before, edgesBefore] = [clients.length, edgeBytes(server)];
    const end = await lastSequence(urls, channelId, await logIn(urls, memberName(1)));
    for (let from = before; from < count; from += connectedAtOnce) {
      const some = await times(Math.min(connectedAtOnce, count - from), async (i) => {
        const client = new LoadClient(await logIn(urls, memberName(from + i + 1)));
        await client.connect(urls[i % urls.length]!);
        await client.follow(channelId, end);
        return client;
      });
      clients.push(...some);
      this.heartbeats ??= startHeartbeats(clients);
    }
    const each = (edgeBytes(server) - edgesBefore) / (count - before);
    return [{ name: "memory of the edges", value: each, unit: "bytes/connection" }];
  }

  async close(): Promise<void> {
    this.heartbeats?.stop();
    await closeClients();
  }
}

/** An open loop for how long it takes, a closed one for what there can be and what it costs. */
async function measureGroup(
  server: LoadServer,
  channelId: string,
  clients: readonly LoadClient[],
  { deliveriesPerSecond, seconds }: Sizes,
): Promise<Figure[]> {
  const account = new Account();
  const { senders } = new LoadChannel(channelId, clients, account, sendersCount);
  const idle = await measure(server, account, seconds.idle);

  const perSecond = Math.round(deliveriesPerSecond / clients.length);
  let turn = 0;
  const sendNext = (dueUs: number) => senders[turn++ % sendersCount]!.send(dueUs);
  await tick(perSecond, seconds.warm, sendNext);
  await settled(account);
  const [deliveries, firsts, lasts] = [new Latencies(), new Latencies(), new Latencies()];
  Object.assign(account, { deliveries, firstDeliveries: firsts, lastDeliveries: lasts });
  await tick(perSecond, seconds.open, sendNext);
  await settled(account);
  for (const kind of ["deliveries", "firstDeliveries", "lastDeliveries"] as const) {
    account[kind] = undefined;
  }

  const loop = startClosedLoop(senders, window);
  await measure(server, account, seconds.warm);
  const measured = await measure(server, account, seconds.closed);
  loop.stop();
  await settled(account);
  const { sent, delivered, repeated } = account;
  if (delivered !== sent * clients.length || repeated !== 0) {
    throw new Error(`not exactly once: ${JSON.stringify(account.counts())}`);
  }

  const { counts } = measured;
  const at = `at ${perSecond} messages/s`;
  return [
    { name: "deliveries", value: counts.delivered / measured.seconds, unit: "deliveries/s" },
    { name: "messages", value: counts.completed / measured.seconds, unit: "messages/s" },
    ...cpuFigures(aboveIdle(measured, idle), undefined),
    ...deliveries.figures(`delivery ${at}`, [50, 99]),
    ...firsts.figures(`delivery ${at} to the first`, [50, 99]),
    ...lasts.figures(`delivery ${at} to the last`, [50, 99]),
  ];
}

function edgeBytes({ cluster }: LoadServer): number {
  const edges = cluster!.processes.filter(({ role }) => role === "edge");
  return edges.reduce((sum, { pid }) => sum + anonymousBytes(pid!), 0);
}
