/** Profiles another process through its inspector, which SIGUSR1 opens. */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import type { LoadServer } from "./load-server.ts";

/** V8's CPU profile, as the inspector's protocol gives it. */
export interface CpuProfile {
  nodes: ProfileNode[];
  /** The node that each sample found. */
  samples: number[];
}

/** A function at one place of the call tree. */
export interface ProfileNode {
  id: number;
  callFrame: { functionName: string; url: string; lineNumber: number };
  children?: number[];
}

/** Often enough for a function of 0.1 % in ten seconds. */
const samplingIntervalUs = 1_000;
/** How long the inspector may take to open. */
const openTimeoutMs = 10_000;
/** A profile is JSON of some ten megabytes. */
const profileBytesMax = 512 * 1024 * 1024;

/** Samples the server's main thread for so long; a cluster has none. */
export async function profileServer(
  { single }: LoadServer,
  seconds: number,
): Promise<CpuProfile | undefined> {
  if (!single) return undefined;
  process.kill(single.pid, "SIGUSR1");
  const ws = new WebSocket(await inspectorUrl(single.log), { maxPayload: profileBytesMax });
  await once(ws, "open");
  await command(ws, "Profiler.enable");
  await command(ws, "Profiler.setSamplingInterval", { interval: samplingIntervalUs });
  await command(ws, "Profiler.start");
  await sleep(seconds * 1_000);
  const { profile } = (await command(ws, "Profiler.stop")) as { profile: CpuProfile };
  ws.close();
  return profile;
}

async function inspectorUrl(log: readonly string[]): Promise<string> {
  for (let waitedMs = 0; waitedMs < openTimeoutMs; waitedMs += 50) {
    for (const line of log) {
      const url = /^Debugger listening on (ws:\S+)/.exec(line)?.[1];
      if (url) return url;
    }
    await sleep(50);
  }
  throw new Error(`the inspector did not open within ${openTimeoutMs} ms`);
}

/** One at a time. @throws where it is refused. */
async function command(ws: WebSocket, method: string, params = {}): Promise<unknown> {
  ws.send(JSON.stringify({ id: 1, method, params }));
  const [data] = await once(ws, "message");
  const { result, error } = JSON.parse(String(data));
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
}
