/** What idle connections cost that show every few seconds that they live. */
import { measure } from "./closed-loop.ts";
import { aboveIdle, cpuFigures, profileNotes } from "./cpu-figures.ts";
import { profileServer } from "./cpu-profile.ts";
import { Account } from "./load-channel.ts";
import type { LoadClient } from "./load-client.ts";
import { startHeartbeats } from "./load-heartbeats.ts";
import { connectAll } from "./load-pairs.ts";
import { type LoadServer, startServer } from "./load-server.ts";
import { signUp } from "./load-users.ts";
import type { Figure, ScenarioOptions, ScenarioResult } from "./scenario.ts";

/** Between them the first to connect get their heartbeats. */
const connectedAtOnce = 500;
/** With the interval before it, less than an edge bears: 30 s. */
const silentSeconds = 15;
/** Until connecting has been done with: caches, garbage, what is written behind. */
const restSeconds = 20;

/** The same connections with their heartbeats, then for a while without. */
export async function heartbeats({ quick, backend }: ScenarioOptions): Promise<ScenarioResult> {
  const count = quick ? 1_000 : 10_000;
  const server = await startServer(backend);
  try {
    const account = new Account();
    const clients: LoadClient[] = [];
    let beats: { stop(): void } | undefined;
    const users = await signUp(server.urls, count);
    for (let from = 0; from < count; from += connectedAtOnce) {
      const some = users.slice(from, from + connectedAtOnce);
      clients.push(...(await connectAll(server.urls, some)));
      beats ??= startHeartbeats(clients);
    }
    await measure(server, account, quick ? 5 : restSeconds);

    const before = await readCounts(server);
    const measured = await measure(server, account, quick ? 10 : 60);
    const after = await readCounts(server);
    const profile = await profileServer(server, quick ? 5 : 20);
    beats!.stop();
    const silent = await measure(server, account, quick ? 5 : silentSeconds);

    const { seconds } = measured;
    const per = { count: count * seconds, unit: "µs/connection/s" };
    const ofHeartbeats = cpuFigures(aboveIdle(measured, silent), undefined, per);
    const seen = (name: string, key: keyof Counts, aim?: string): Figure => ({
      name,
      value: (after[key] - before[key]) / seconds,
      unit: "1/s",
      ...(aim && { aim }),
    });
    return {
      figures: [
        { name: "idle connections", value: count, unit: "connections" },
        { name: "heartbeat interval", value: clients[0]!.heartbeatIntervalMs, unit: "ms" },
        seen("frames that edges got from clients", "frames"),
        seen("beats that Presence got from edges", "beats"),
        seen("reports that Presence got from edges", "reports", "0"),
        ...cpuFigures(measured, profile, per),
        ...ofHeartbeats.map((figure) => ({ ...figure, name: `${figure.name}, of heartbeats` })),
      ],
      notes: profileNotes(profile),
    };
  } finally {
    await server.stop();
  }
}

interface Counts {
  frames: number;
  beats: number;
  reports: number;
}

async function readCounts(server: LoadServer): Promise<Counts> {
  const edges = await server.metrics("parley.edge");
  const presences = await server.metrics("parley.presence.v1.PresenceService");
  const requests = "parley_presence_edge_requests_total";
  return {
    frames: sum(edges, "parley_edge_frames_received_total"),
    beats: sum(presences, `${requests}{kind="beat"}`),
    reports: sum(presences, `${requests}{kind="report"}`),
  };
}

/** Of a series over several texts of metrics; one that never counted is in none. */
function sum(texts: readonly string[], series: string): number {
  const lines = texts.flatMap((text) => text.split("\n"));
  const values = lines.filter((line) => line.startsWith(`${series} `));
  return values.reduce((total, line) => total + Number(line.slice(series.length)), 0);
}
