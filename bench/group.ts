/** A group of 100 members, all of them connected. */
import { measure, settled, startClosedLoop } from "./closed-loop.ts";
import { cpuFigures, profileNotes } from "./cpu-figures.ts";
import { profileServer } from "./cpu-profile.ts";
import { Latencies } from "./latencies.ts";
import { Account, LoadChannel } from "./load-channel.ts";
import { startHeartbeats } from "./load-heartbeats.ts";
import { connectAll } from "./load-pairs.ts";
import { startServer } from "./load-server.ts";
import { createGroup, signUp } from "./load-users.ts";
import type { ScenarioOptions, ScenarioResult } from "./scenario.ts";
import { tick } from "./ticker.ts";

const membersCount = 100;
const sendersCount = 10;
/** Incomplete sends of each sender. */
const window = 8;
const aims = { embedded: "50,000", cluster: "40,000" };
/** Of the open loop: a lively group, 2,000 deliveries a second. */
const perSecond = 20;

/** Closed loop for what it can deliver, open loop for how long that takes. */
export async function group({ quick, backend }: ScenarioOptions): Promise<ScenarioResult> {
  const server = await startServer(backend);
  try {
    const account = new Account();
    const users = await signUp(server.urls, membersCount);
    const channelId = await createGroup(server.urls, users);
    const clients = await connectAll(server.urls, users);
    const heartbeats = startHeartbeats(clients);
    const { senders } = new LoadChannel(channelId, clients, account, sendersCount);

    let turn = 0;
    const sendNext = (dueUs: number) => senders[turn++ % sendersCount]!.send(dueUs);
    await tick(perSecond, quick ? 2 : 5, sendNext);
    await settled(account);
    const acknowledgements = new Latencies();
    const deliveries = new Latencies();
    Object.assign(account, { acknowledgements, deliveries });
    await tick(perSecond, quick ? 5 : 30, sendNext);
    await settled(account);
    Object.assign(account, { acknowledgements: undefined, deliveries: undefined });

    const loop = startClosedLoop(senders, window);
    await measure(server, account, quick ? 3 : 10);
    const measured = await measure(server, account, quick ? 5 : 30);
    const profile = await profileServer(server, quick ? 5 : 15);
    loop.stop();
    await settled(account);
    heartbeats.stop();

    const { seconds, counts } = measured;
    return {
      figures: [
        {
          name: "deliveries to devices",
          value: counts.delivered / seconds,
          unit: "deliveries/s",
          aim: aims[backend],
        },
        { name: "messages", value: counts.completed / seconds, unit: "messages/s" },
        { name: "repeated deliveries", value: counts.repeated, unit: "deliveries" },
        ...cpuFigures(measured, profile),
        ...acknowledgements.figures(`acknowledgement at ${perSecond} messages/s`, [50, 99]),
        ...deliveries.figures(`delivery at ${perSecond} messages/s`, [50, 99]),
      ],
      notes: profileNotes(profile),
    };
  } finally {
    await server.stop();
  }
}
