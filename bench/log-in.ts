/** Devices that sign in as fast as they can, and whether those who talk notice. */
import { sessionConfig } from "../services/session/session-config.ts";
import { type Measured, measure, settled } from "./closed-loop.ts";
import { cpuFigures } from "./cpu-figures.ts";
import { Latencies } from "./latencies.ts";
import { Account, nowUs } from "./load-channel.ts";
import { connectPairs } from "./load-pairs.ts";
import { type LoadServer, startServer } from "./load-server.ts";
import { logIn as logInOnce } from "./load-users.ts";
import type { Figure, ScenarioOptions, ScenarioResult } from "./scenario.ts";
import { tick } from "./ticker.ts";

const perSecond = 500;
const pairs = 128;
/** Log-ins under way at once. */
const logInsAtOnce = 8;
/** Of the stretch with log-ins, and of those without before and after it. */
const seconds = { brief: 10, whole: 60 };
/** See latency.ts. */
const warmUpSeconds = { embedded: 10, cluster: 60 };

/** Settings that make a password cost what it costs where nothing is set. */
const passwordsAsByDefault = Object.fromEntries(
  [sessionConfig.passwordMemoryKib, sessionConfig.passwordPasses].map((setting) => [
    setting.env,
    setting.default,
  ]),
);

/** The same open loop of messages without log-ins, with them, and without once more. */
export async function logIn({ quick, backend }: ScenarioOptions): Promise<ScenarioResult> {
  const server = await startServer(backend, passwordsAsByDefault);
  try {
    const account = new Account();
    const senders = await connectPairs(server.urls, pairs, account);
    let turn = 0;
    const sendNext = (dueUs: number) => {
      lateness?.add((nowUs() - dueUs) / 1_000);
      senders[turn++ % senders.length]!.send(dueUs);
    };
    let lateness: Latencies | undefined;
    const talk = async (name: string, talkSeconds: number): Promise<[Figure[], Measured]> => {
      const [acknowledgements, deliveries, late] = [
        new Latencies(),
        new Latencies(),
        new Latencies(),
      ];
      Object.assign(account, { acknowledgements, deliveries });
      lateness = late;
      const [measured] = await Promise.all([
        measure(server, account, talkSeconds),
        tick(perSecond, talkSeconds, sendNext),
      ]);
      await settled(account);
      const figures = [
        ...acknowledgements.figures(`acknowledgement, ${name}`, [50, 99]),
        ...deliveries.figures(`delivery, ${name}`, [50, 99]),
        ...late.figures(`generator's own lateness, ${name}, contained above`, [50, 99]),
      ];
      return [figures, measured];
    };
    await talk("warm-up", quick ? 3 : warmUpSeconds[backend]);

    const each = quick ? seconds.brief : seconds.whole;
    const [before] = await talk("without log-ins", each);
    const loop = startLogIns(server, senders.length);
    const [during, measured] = await talk("with log-ins", each);
    const done = await loop.stop();
    const [after] = await talk("without log-ins again", each);
    const per = { count: done.count, unit: "µs/log-in" };
    return {
      figures: [
        { name: "messages", value: perSecond, unit: "messages/s" },
        { name: "log-ins", value: done.count / done.seconds, unit: "log-ins/s" },
        ...done.latencies.figures("log-in", [50, 99]),
        ...before,
        ...during,
        ...after,
        ...cpuFigures(measured, undefined, per),
      ],
      notes: [],
    };
  } finally {
    await server.stop();
  }
}

/** Signs in a device after the other, several at once, of as many users in turn. */
function startLogIns({ urls }: LoadServer, users: number) {
  const latencies = new Latencies();
  const start = performance.now();
  let isRunning = true;
  let turn = 0;
  let count = 0;
  const loop = async (): Promise<void> => {
    while (isRunning) {
      const startMs = performance.now();
      await logInOnce(urls, `load${turn++ % users}`);
      latencies.add(performance.now() - startMs);
      count++;
    }
  };
  const loops = Array.from({ length: logInsAtOnce }, loop);
  return {
    async stop() {
      isRunning = false;
      await Promise.all(loops);
      return { count, latencies, seconds: (performance.now() - start) / 1_000 };
    },
  };
}
