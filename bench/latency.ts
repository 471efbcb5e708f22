/** How long a message takes where the server is not busy. */
import { measure, settled } from "./closed-loop.ts";
import { cpuFigures } from "./cpu-figures.ts";
import { Latencies } from "./latencies.ts";
import { Account, nowUs } from "./load-channel.ts";
import { connectPairs } from "./load-pairs.ts";
import { startServer } from "./load-server.ts";
import type { ScenarioOptions, ScenarioResult } from "./scenario.ts";
import { tick } from "./ticker.ts";

const perSecond = 500;
const pairs = 128;

/** Until what is compiled while it runs has been: Cassandra takes longer than we do. */
const warmUpSeconds = { embedded: 10, cluster: 60 };

/** By percentile. */
const aims = {
  embedded: { 50: "under 2", 99: "under 15" },
  cluster: { 99: "under 25" },
};

/** Open loop: every message counts from the time at which it was due. */
export async function latency({ quick, backend }: ScenarioOptions): Promise<ScenarioResult> {
  const server = await startServer(backend);
  try {
    const account = new Account();
    const senders = await connectPairs(server.urls, pairs, account);
    let turn = 0;
    const lateness = new Latencies();
    const sendNext = (dueUs: number) => {
      lateness.add((nowUs() - dueUs) / 1_000);
      senders[turn++ % senders.length]!.send(dueUs);
    };
    await tick(perSecond, quick ? 3 : warmUpSeconds[backend], sendNext);
    await settled(account);

    const acknowledgements = new Latencies();
    const deliveries = new Latencies();
    Object.assign(account, { acknowledgements, deliveries });
    const seconds = quick ? 15 : 60;
    const [measured] = await Promise.all([
      measure(server, account, seconds),
      tick(perSecond, seconds, sendNext),
    ]);
    await settled(account);

    return {
      figures: [
        { name: "load", value: perSecond, unit: "messages/s" },
        ...acknowledgements.figures("acknowledgement", [50, 99, 99.9, 100], aims[backend]),
        ...deliveries.figures("delivery", [50, 99, 99.9, 100], aims[backend]),
        ...lateness.figures("generator's own lateness, contained above", [50, 99]),
        ...cpuFigures(measured, undefined),
      ],
      notes: [],
    };
  } finally {
    await server.stop();
  }
}
