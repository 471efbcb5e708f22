/** One-to-one messages as fast as they go, each acknowledged, durable and received. */
import { measure, settled, startClosedLoop } from "./closed-loop.ts";
import { cpuFigures, profileNotes } from "./cpu-figures.ts";
import { profileServer } from "./cpu-profile.ts";
import { Latencies } from "./latencies.ts";
import { Account } from "./load-channel.ts";
import { connectPairs } from "./load-pairs.ts";
import { startServer } from "./load-server.ts";
import type { ScenarioOptions, ScenarioResult } from "./scenario.ts";

const pairs = 256;
/** Incomplete sends of each of the 512 devices. */
const window = 4;
const aims = { embedded: "10,000", cluster: "5,000" };

/** Closed loop: a device sends when one of its sends is complete. */
export async function throughput({ quick, backend }: ScenarioOptions): Promise<ScenarioResult> {
  const server = await startServer(backend);
  try {
    const account = new Account();
    const senders = await connectPairs(server.urls, pairs, account);
    const loop = startClosedLoop(senders, window);
    await measure(server, account, quick ? 3 : 10);

    account.acknowledgements = new Latencies();
    account.deliveries = new Latencies();
    const measured = await measure(server, account, quick ? 5 : 30);
    const { acknowledgements, deliveries } = account;
    account.acknowledgements = undefined;
    account.deliveries = undefined;

    const profile = await profileServer(server, quick ? 5 : 20);
    loop.stop();
    await settled(account);

    const { seconds, counts } = measured;
    return {
      figures: [
        {
          name: "acknowledged, durable and delivered",
          value: counts.completed / seconds,
          unit: "messages/s",
          aim: aims[backend],
        },
        { name: "acknowledged", value: counts.acknowledged / seconds, unit: "messages/s" },
        { name: "deliveries to devices", value: counts.delivered / seconds, unit: "deliveries/s" },
        { name: "repeated deliveries", value: counts.repeated, unit: "deliveries" },
        ...acknowledgements.figures("acknowledgement", [50, 99]),
        ...deliveries.figures("delivery", [50, 99]),
        ...cpuFigures(measured, profile),
      ],
      notes: profileNotes(profile),
    };
  } finally {
    await server.stop();
  }
}
