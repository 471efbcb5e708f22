/** Memory of idle signed-in connections, in a process that is an edge and nothing else. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parleyFlags } from "../deploy/v8-flags.ts";
import { EdgeChild } from "./edge-child.ts";
import type { MemoryUse } from "./edge-process.ts";
import { type HeapKind, summarizeHeap } from "./heap-summary.ts";
import { LoadClient } from "./load-client.ts";
import { encodeFrame } from "./load-frames.ts";
import { startHeartbeats } from "./load-heartbeats.ts";
import { makeLoadKey, signLoadUser } from "./load-tokens.ts";
import { times } from "./load-users.ts";
import type { Figure, ScenarioOptions, ScenarioResult } from "./scenario.ts";
import { serveStubs } from "./stub-services.ts";

/** Connections that come and go before the first reading, so that code is loaded and compiled. */
const warmUpCount = 200;
const handshakesMax = 64;
/** Entries that each connection is given, and acknowledges. */
const entriesEach = 20;

/**
 * Resident memory at four times, against that without connections; mapped files apart, which are
 * the pages of LMDB's file and of Node itself that happen to be in memory.
 */
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
    const heap = await readHeap(edge);
    heartbeats.stop();
    await times(count, (i) => clients[i]!.close(), handshakesMax);
    const heapWithout = await readHeap(edge);

    const each = (name: string, bytes: number, aim?: string): Figure => ({
      name,
      value: bytes / count / 1_000,
      unit: "KB/connection",
      ...(aim && { aim }),
    });
    const resident = (name: string, use: MemoryUse, aim?: string) =>
      each(name, use.rssAnonymous - without.rssAnonymous, aim);
    return {
      figures: [
        { name: "idle signed-in connections", value: count, unit: "connections" },
        { name: "the process without connections", value: without.rss / 1e6, unit: "MB" },
        resident("idle", idle, "at most 8"),
        resident(`right after ${entriesEach} entries to each`, afterTraffic),
        resident("a minute after that", later, "at most 8"),
        each("  of which V8's heap, in use or garbage", later.heapUsed - without.heapUsed),
        each("  of which V8's heap, free", free(later) - free(without)),
        each("  of which outside of V8's heap", outside(later) - outside(without)),
        resident("then, all garbage collected", collected),
        each("  of which V8's heap, in use", collected.heapUsed - without.heapUsed),
        each("beside it: mapped files, idle", ofFiles(idle) - ofFiles(without)),
        each("beside it: mapped files, a minute after", ofFiles(later) - ofFiles(without)),
      ],
      notes: [compareHeaps(heap, heapWithout, count)],
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

/** What the heap holds, by kind. Collects garbage first, as V8 does for a snapshot. */
async function readHeap(edge: EdgeChild): Promise<HeapKind[]> {
  const folder = mkdtempSync(join(tmpdir(), "parley-heap-"));
  const path = join(folder, "edge.heapsnapshot");
  try {
    await edge.perform({ do: "writeHeapSnapshot", path });
    return summarizeHeap(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What connections have in the heap: what was gone when they had gone. */
function compareHeaps(heap: HeapKind[], without: HeapKind[], count: number): string {
  const rest = new Map(without.map((kind) => [kind.name, kind]));
  const lines = heap
    .map((kind) => {
      const { count: countLeft, bytes: bytesLeft } = rest.get(kind.name) ?? { count: 0, bytes: 0 };
      const bytes = (kind.bytes - bytesLeft) / count;
      return { name: kind.name, bytes, number: (kind.count - countLeft) / count };
    })
    .filter(({ bytes }) => bytes >= 8)
    .sort((a, b) => b.bytes - a.bytes)
    .map(({ name, bytes, number }) => {
      return `${bytes.toFixed(0).padStart(6)} B  ${number.toFixed(1).padStart(5)} × ${name}`;
    });
  return `V8's heap per connection, by kind:\n${lines.join("\n")}`;
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
