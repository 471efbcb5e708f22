/** Edges behind a balancer that keeps each client address on one of them. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { WebSocket } from "ws";
import { type Nginx, startNginx } from "../../deploy/servers/nginx.ts";
import {
  allWays,
  createClient,
  MessageService,
  memoryTokenStore,
  ParleyClient,
  signUp,
  type WebSocketConstructor,
} from "../../edge/sdk/index.ts";
import { newUsername } from "../e2e/device.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { eventually } from "./own-cluster.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const clientHeader = "x-test-client";
let parley: ParleyUnderTest;
let balancer: Nginx;
let folder: string;
beforeAll(async () => {
  parley = await openParley({ edge: { PARLEY_EDGE_FORWARDED_HOPS: "1" } });
  folder = mkdtempSync(join(tmpdir(), "parley-nginx-"));
  const edges = parley.urls.map((url) => new URL(url).host);
  balancer = await startNginx({ folder, edges, clientHeader });
});
afterAll(async () => {
  await balancer?.process.stop();
  await parley?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A device at an address of its own, which the balancer is told in a header. */
async function connect(way: (typeof allWays)[number], address: string) {
  const headers = { [clientHeader]: address };
  const options = {
    url: balancer.url,
    fetch: ((input, init) =>
      fetch(input, {
        ...init,
        headers: { ...Object.fromEntries(new Headers(init?.headers)), ...headers },
      })) as typeof fetch,
    WebSocket: class extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols, { headers });
      }
    } as unknown as WebSocketConstructor,
  };
  const account = { username: newUsername("balanced"), password: "correct horse" };
  const tokens = memoryTokenStore(await signUp({ ...options, ...account }));
  const client = await ParleyClient.open({ ...options, tokens, ways: [way] });
  const texts: string[] = [];
  client.on("message", ({ body }) => body.case === "text" && texts.push(body.value));
  await client.connect();
  return { client, texts, edgeUrls: (await tokens.load())!.edgeUrls };
}

describe("[D4] behind a balancer that hashes addresses", () => {
  it.each(allWays)("people talk over %s, and each stays on one edge", async (way) => {
    const addresses = Array.from({ length: 8 }, (_, i) => `10.${allWays.indexOf(way)}.${i}.1`);
    const [first, ...others] = await Promise.all(addresses.map((each) => connect(way, each)));
    expect(first!.edgeUrls).toEqual([]);
    const messages = createClient(MessageService, first!.client.transport);
    const { channel } = await messages.createGroup({
      name: "balanced",
      clientMessageId: first!.client.newClientMessageId(),
      userIds: others.map(({ client }) => client.owner.userId),
    });
    const all = [first!, ...others];
    const { channelId } = channel!;
    await first!.client.send(channelId, "0").result;
    for (const [i, { client }] of others.entries()) {
      await client.send(channelId, String(i + 1)).result;
    }
    const expected = all.map((_, i) => String(i));
    await vi.waitFor(() => {
      for (const { texts } of all) expect(texts).toEqual(expected);
    }, eventually);
    await Promise.all(all.map(({ client }) => client.close()));

    const edgesOf = () => {
      const lines = readFileSync(balancer.accessLog, "utf8").trim().split("\n");
      const pairs = lines
        .map((line) => line.split(" "))
        .filter(([from]) => addresses.includes(from!));
      return Map.groupBy(pairs, ([from]) => from!);
    };
    // A line is written when its request is over.
    await vi.waitFor(() => expect(edgesOf().size).toBe(addresses.length), eventually);
    const used = [...edgesOf().values()].map((lines) => new Set(lines.map(([, edge]) => edge)));
    expect(used.map(({ size }) => size)).toEqual(addresses.map(() => 1));
    expect(new Set(used.flatMap((each) => [...each])).size).toBe(parley.urls.length);
  });
});
