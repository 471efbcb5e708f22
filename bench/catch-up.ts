/** Devices that return after 1,000 inbox entries. */
import { setTimeout as sleep } from "node:timers/promises";
import { Latencies } from "./latencies.ts";
import { Account, LoadChannel } from "./load-channel.ts";
import type { LoadClient } from "./load-client.ts";
import { connectAll } from "./load-pairs.ts";
import { startServer } from "./load-server.ts";
import { createGroup, signUp, times } from "./load-users.ts";
import type { ScenarioOptions, ScenarioResult } from "./scenario.ts";

const membersCount = 100;
/** What each device has missed when it comes back. */
const missed = 1_000;

/** In groups, so that a thousand sends make an inbox entry of each for a hundred users. */
export async function catchUp({ quick, backend }: ScenarioOptions): Promise<ScenarioResult> {
  const groupsCount = quick ? 1 : 10;
  const server = await startServer(backend);
  try {
    const users = await signUp(server.urls, groupsCount * membersCount);
    const groups = await times(groupsCount, async (i) => {
      const members = users.slice(i * membersCount, (i + 1) * membersCount);
      const channelId = await createGroup(server.urls, members);
      return { channelId, clients: await connectAll(server.urls, members) };
    });
    // A device with an empty inbox has no position to return to.
    await send(groups, 1);
    const away = groups.flatMap(({ clients }) => clients.slice(1));
    await times(away.length, (i) => away[i]!.close());
    // Who comes back is asked how much came, not by which send.
    for (const client of away) client.listener = undefined;
    const senders = groups.map(({ channelId, clients }) => ({
      channelId,
      clients: clients.slice(0, 1),
    }));
    await send(senders, missed);
    // The inboxes of those who are away may be a commit behind the sender's own.
    await sleep(1_000);

    const latencies = new Latencies();
    let bytes = 0;
    for (const client of away) {
      const before = { entries: client.entries, bytes: client.bytes };
      latencies.add(await client.connect(server.urls[0]!));
      if (client.entries - before.entries !== missed) {
        throw new Error(`${client.entries - before.entries} entries came instead of ${missed}`);
      }
      bytes += client.bytes - before.bytes;
      await client.close();
    }
    return {
      figures: [
        { name: "entries in all inboxes", value: missed * users.length, unit: "entries" },
        ...latencies.figures(`Hello to CaughtUp after ${missed} entries`, [50, 99, 100]),
        { name: "bytes of frames", value: bytes / away.length, unit: "bytes/device" },
      ],
      notes: [],
    };
  } finally {
    await server.stop();
  }
}

interface Group {
  channelId: string;
  clients: LoadClient[];
}

/** Sends so many messages into each group, each when the one before is complete. */
async function send(groups: readonly Group[], count: number): Promise<void> {
  const account = new Account();
  for (const { channelId, clients } of groups) {
    const [sender] = new LoadChannel(channelId, clients, account, 1).senders;
    let left = count;
    const next = () => {
      if (left-- > 0) sender!.send();
    };
    sender!.onCompleted = next;
    next();
  }
  while (account.completed < groups.length * count) await sleep(20);
}
