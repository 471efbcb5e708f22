import { describe, expect, it } from "vitest";
import type { EdgeConfig } from "./edge-config.ts";
import { EdgeFixture } from "./edge-fixture.ts";

const authorization = "Bearer alice/alice-1";

/** Two edges that know each other, behind a balancer that brings everything to the wrong one. */
async function startTwo(
  config: { ofHome?: Partial<EdgeConfig>; ofOther?: Partial<EdgeConfig> } = {},
) {
  const home = await new EdgeFixture(config.ofHome, "edge-home").start();
  const other = await new EdgeFixture(config.ofOther, "edge-other").start();
  const [a, b] = [home, other].map(({ edge }, at) => ({
    instanceId: at === 0 ? "edge-home" : "edge-other",
    service: "parley.edge",
    address: edge.address,
    metadata: {},
  }));
  home.otherEdges.update([a!, b!]);
  other.otherEdges.update([a!, b!]);
  return {
    home,
    other,
    ask: (path: string, headers: Record<string, string>, body?: unknown) => {
      const init = { method: "POST", headers: { authorization, ...headers } };
      const sent = body === undefined ? {} : { body: JSON.stringify(body) };
      return fetch(`http://${other.edge.address}${path}`, { ...init, ...sent });
    },
    async [Symbol.asyncDispose]() {
      await home[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
    },
  };
}

/** A connection at home, and where it goes on. */
async function signInAtHome(home: EdgeFixture): Promise<string> {
  const headers = { authorization };
  for (let lastEventId = ""; ; ) {
    const url = `http://${home.edge.address}/v1/poll`;
    const init = { headers: { ...headers, "last-event-id": lastEventId } };
    const said = await (await fetch(url, init)).json();
    lastEventId = said.lastEventId;
    if (JSON.stringify(said.frames).includes("caughtUp")) return lastEventId;
  }
}

describe("[T2] an edge that is asked for another's connection", () => {
  it("passes polls and streams on, which go on where they were", async () => {
    await using edges = await startTwo();
    const lastEventId = await signInAtHome(edges.home);
    await edges.home.store("alice", "hello");
    const polled = await (await edges.ask("/v1/poll", { "last-event-id": lastEventId })).json();
    expect(JSON.stringify(polled.frames)).toContain("hello");
    expect(JSON.stringify(polled.frames)).not.toContain("welcome");

    const next = { "last-event-id": polled.lastEventId };
    const stream = (await edges.ask("/v1/events", next)).body!.getReader();
    for (const text of ["one", "two"]) {
      await edges.home.store("alice", text);
      let heard = "";
      while (!heard.includes(text)) heard += Buffer.from((await stream.read()).value!).toString();
    }
    expect(edges.other.edge.connectionCount).toBe(0);
    await stream.cancel();
    await expect.poll(() => edges.home.presence).toEqual(["attached alice-1", "detached alice-1"]);
  });

  it("passes on what is posted for the connection, and answers the rest itself", async () => {
    await using edges = await startTwo();
    const lastEventId = await signInAtHome(edges.home);
    const [connectionId] = lastEventId.split(".");
    const follow = { frames: [{ followChannels: { channels: [{ channelId: "g-1" }] } }] };
    const syncChannels = "parley.message.v1.MessageService/SyncChannels";
    edges.home.answers.set(syncChannels, () => ({ updates: [{ channelId: "g-1" }] }));
    const named = { "parley-connection": connectionId! };
    expect((await edges.ask("/v1/frames", named, follow)).status).toBe(200);
    expect(edges.home.calls.map(({ method }) => method)).toContain(syncChannels);
    const unknown = await edges.ask("/v1/frames", {}, follow);
    expect(unknown.status).toBe(404);
    expect(await unknown.json()).toMatchObject({ reason: "CONNECTION_UNKNOWN" });

    const request = { channelId: "g-1", clientMessageId: "c-1", text: "hi" };
    const send = { frames: [{ send: { requestId: 1, request } }] };
    await (await edges.ask("/v1/frames", {}, send)).text();
    expect(edges.other.sends).toHaveLength(1);
  });

  it("[O3] tells whose request it passes on, so that one client's calls are not all clients'", async () => {
    await using edges = await startTwo({
      ofHome: { httpCallsPerAddressMax: 1 },
      ofOther: { forwardedHops: 1 },
    });
    const [connectionId] = (await signInAtHome(edges.home)).split(".");
    const method = "parley.message.v1.MessageService/ListChannels";
    edges.home.answers.set(method, () => new Promise(() => {}));
    const call = { frames: [{ call: { requestId: 1, method, request: "" } }] };
    const askFrom = (address: string) => {
      const headers = { "parley-connection": connectionId!, "x-forwarded-for": address };
      return edges.ask("/v1/frames", headers, call);
    };
    const asked: Promise<Response>[] = [];
    for (const address of ["192.0.2.1", "2001:db8::7"]) {
      asked.push(askFrom(address));
      const heard = () => edges.home.calls.at(-1)?.options.clientAddress;
      await expect.poll(heard).toBe(address);
    }
    expect((await askFrom("192.0.2.1")).status).toBe(429);
    await edges.home.edge.close();
    await Promise.allSettled(asked);
  });

  it("says so where that edge is away, and begins a connection where it is known to be gone", async () => {
    await using edges = await startTwo();
    const lastEventId = await signInAtHome(edges.home);
    await edges.home.edge.close();
    const away = await edges.ask("/v1/poll", { "last-event-id": lastEventId });
    expect(away.status).toBe(503);
    edges.other.otherEdges.update([]);
    const begun = await (await edges.ask("/v1/poll", { "last-event-id": lastEventId })).json();
    expect(begun.frames[0]).toHaveProperty("welcome");
  });

  it("answers itself what was passed on to it", async () => {
    await using edges = await startTwo();
    const headers = { "last-event-id": await signInAtHome(edges.home), "parley-passed-on": "1" };
    const begun = await (await edges.ask("/v1/poll", headers)).json();
    expect(begun.frames[0]).toHaveProperty("welcome");
  });
});
