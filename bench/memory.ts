/** Memory of idle signed-in connections, in a process that is an edge and nothing else. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { EdgeChild } from "./edge-child.ts";
import type { MemoryUse } from "./edge-process.ts";
import { summarizeHeap } from "./heap-summary.ts";
import { LoadClient } from "./load-client.ts";
import { encodeFrame } from "./load-frames.ts";
import { makeLoadKey, signLoadUser } from "./load-tokens.ts";
import { times } from "./load-users.ts";
import type { Figure, ScenarioOptions, ScenarioResult } from "./scenario.ts";
import { serveStubs } from "./stub-services.ts";
import { parleyFlags } from "./v8-flags.ts";

/** Connections that come and go before the first reading, so that code is loaded and compiled. */
const warmUpCount = 200;
const handshakesMax = 64;
/** Entries that each connection is given, and acknowledges. */
const entriesEach = 20;

/** Resident memory at four times, against that without connections. */
export async function memory({ quick }: ScenarioOptions): Promise<ScenarioResult> {
  const count = quick ? 2_000 : 10_000;
  const restMs = quick ? 5_000 : 20_000;
  const key = await makeLoadKey();
  const edge = await EdgeChild.start(await serveStubs(key), parleyFlags());
  try {
    const connect = (from: number, to: number) =>
      times(
        to - from,
        async (i) => {
          const client = new LoadClient(await signLoadUser(key, from + i));
          await client.connect(edge.url);
          return client;
        },
        handshakesMax,
      );
    const warmUp = await connect(0, warmUpCount);
    await passTraffic(edge, warmUp);
    await times(warmUpCount, (i) => warmUp[i]!.close());
    await sleep(restMs);
    const without = await edge.readMemory();

    const clients = await connect(0, count);
    const heartbeats = startHeartbeats(clients);
    await sleep(restMs);
    const idle = await edge.readMemory();
    await passTraffic(edge, clients);
    const afterTraffic = await edge.readMemory();
    await sleep(quick ? 15_000 : 60_000);
    const later = await edge.readMemory();
    await edge.perform({ do: "collect" });
    const collected = await edge.readMemory();
    const heap = await summarize(edge, count);
    heartbeats.stop();

    const each = (name: string, bytes: number, aim?: string): Figure => ({
      name,
      value: bytes / count / 1_000,
      unit: "KB/connection",
      ...(aim && { aim }),
    });
    const resident = (name: string, use: MemoryUse, aim?: string) =>
      each(name, use.rss - without.rss, aim);
    return {
      figures: [
        { name: "idle signed-in connections", value: count, unit: "connections" },
        { name: "the process without connections", value: without.rss / 1e6, unit: "MB" },
        resident("idle", idle, "at most 8"),
        resident(`right after ${entriesEach} entries to each`, afterTraffic),
        resident("a minute after that", later, "at most 8"),
        resident("then, all garbage collected", collected),
        each("of which V8's heap, in use", collected.heapUsed - without.heapUsed),
        each("of which V8's heap, free", free(collected) - free(without)),
        each("of which outside of V8's heap", outside(collected) - outside(without)),
        each("of which pages of LMDB's file", ofFiles(collected) - ofFiles(without)),
      ],
      notes: [heap],
    };
  } finally {
    edge.stop();
  }
}

/** Gives every connection entries and has it acknowledge them, as the SDK would. */
async function passTraffic(edge: EdgeChild, clients: readonly LoadClient[]): Promise<void> {
  const before = clients.map(({ entries }) => entries);
  await edge.perform({ do: "deliver", users: clients.length, entries: entriesEach });
  for (const [i, client] of clients.entries()) {
    while (client.entries < before[i]! + entriesEach) await sleep(10);
    const inboxSequence = BigInt(client.position.inboxSequence);
    client.send(encodeFrame({ frame: { case: "ack", value: { inboxSequence } } }));
  }
  await sleep(5_000);
}

/** Heartbeats of all, spread evenly over the interval that Welcome asks for. */
function startHeartbeats(clients: readonly LoadClient[]): { stop(): void } {
  const frame = encodeFrame({ frame: { case: "heartbeat", value: {} } });
  const sliceMs = 50;
  const sliceCount = Math.ceil(clients[0]!.heartbeatIntervalMs / sliceMs);
  let slice = 0;
  const timer = setInterval(() => {
    for (let i = slice; i < clients.length; i += sliceCount) clients[i]!.send(frame);
    slice = (slice + 1) % sliceCount;
  }, sliceMs);
  return { stop: () => clearInterval(timer) };
}

/** What there is one of for each connection, or more. */
async function summarize(edge: EdgeChild, count: number): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "parley-heap-"));
  const path = join(folder, "edge.heapsnapshot");
  try {
    await edge.perform({ do: "writeHeapSnapshot", path });
    const lines = summarizeHeap(path)
      .filter((kind) => kind.count >= count * 0.9)
      .slice(0, 30)
      .map(
        ({ name, count: found, bytes }) =>
          `${(bytes / count).toFixed(0).padStart(6)} B in ${(found / count).toFixed(1)} ${name}`,
      );
    return `V8's heap per connection, by kind:\n${lines.join("\n")}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function free({ heapTotal, heapUsed }: MemoryUse): number {
  return heapTotal - heapUsed;
}

function outside({ rssAnonymous, heapTotal }: MemoryUse): number {
  return rssAnonymous - heapTotal;
}

function ofFiles({ rss, rssAnonymous }: MemoryUse): number {
  return rss - rssAnonymous;
}
