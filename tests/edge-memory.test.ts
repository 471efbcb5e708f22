/** What a connection costs an edge: `bench/memory.ts` in small, held to a limit. */
import { expect, it } from "vitest";
import { EdgeChild } from "../bench/edge-child.ts";
import { LoadClient } from "../bench/load-client.ts";
import { startHeartbeats } from "../bench/load-heartbeats.ts";
import { makeLoadKey, signLoadUser } from "../bench/load-tokens.ts";
import { times } from "../bench/load-users.ts";
import { serveStubs } from "../bench/stub-services.ts";
import { parleyFlags } from "../deploy/v8-flags.ts";

const connections = 2_000;
/** They come first and load and compile code, whose memory is nobody's. */
const warmUpCount = 200;
const handshakesMax = 64;
const bytesMax = 10_000;

it("[C1] an idle signed-in connection takes at most 10 KB of its edge's memory", async () => {
  const key = await makeLoadKey();
  const edge = await EdgeChild.start(await serveStubs(key), parleyFlags());
  const clients: LoadClient[] = [];
  const connect = (from: number, count: number) =>
    times(
      count,
      async (i) => {
        const client = new LoadClient(await signLoadUser(key, from + i));
        await client.connect(edge.url);
        clients.push(client);
      },
      handshakesMax,
    );
  const residentBytes = async () => {
    await edge.perform({ do: "collect" });
    return (await edge.readMemory()).rssAnonymous;
  };
  await connect(0, warmUpCount);
  const heartbeats = startHeartbeats(clients);
  try {
    const before = await residentBytes();
    await connect(warmUpCount, connections);
    const bytes = ((await residentBytes()) - before) / connections;
    expect(bytes).toBeLessThanOrEqual(bytesMax);
  } finally {
    heartbeats.stop();
    await times(clients.length, (i) => clients[i]!.close(), handshakesMax);
    edge.stop();
  }
}, 60_000);
