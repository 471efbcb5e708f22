/** A client that is sent to edges, over one fake that stands for all of them. */
import { createConnectRouter } from "@connectrpc/connect";
import { createFetchHandler } from "@connectrpc/connect/protocol";
import { describe, expect, it } from "vitest";
import type { AssignEdgeRequest } from "../../gen/parley/session/v1/session_service_pb.js";
import { SessionService } from "../../gen/parley/session/v1/session_service_pb.js";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { openFixture, settled, signIn } from "./client-fixture.ts";
import { FakeEdge } from "./edge-fake.ts";
import { memoryTokenStore } from "./tokens.ts";

const url = "http://log-in.test";
const urlOf = (name: string) => `http://${name}.test`;

/** A client with these edges, of which tests take some away. */
async function open(edgeUrls: readonly string[], assigned: readonly string[] = []) {
  const edge = new FakeEdge();
  const dialed: string[] = [];
  const away = new Set<string>();
  const asked: AssignEdgeRequest[] = [];
  const WebSocket = class extends edge.WebSocket {
    constructor(address: string, protocols: string[]) {
      super(address, protocols);
      const { host } = new URL(address);
      dialed.push(host);
      edge.down = away.has(host);
    }
  };
  const router = createConnectRouter().service(SessionService, {
    assignEdge(request) {
      asked.push(request);
      return { edges: assigned.map((each) => ({ url: each })) };
    },
  });
  const [handler] = router.handlers.filter(({ method }) => method.name === "AssignEdge");
  const answer = createFetchHandler(handler!);
  const fetch: typeof globalThis.fetch = (input, init) => {
    const request = new Request(input, init);
    const { host, pathname } = new URL(request.url);
    if (away.has(host)) return Promise.reject(new TypeError("fetch failed"));
    return pathname === "/healthz" ? Promise.resolve(new Response()) : answer(request);
  };
  const tokens = memoryTokenStore({ ...signIn, edgeUrls });
  const fixture = await openFixture(edge, new ManualClock(), {
    ...{ url, tokens, WebSocket, fetch, region: "eu", ways: ["websocket"] },
  });
  /** Until the client is online: what goes over fetch takes its own time. */
  const comesBack = async () => {
    while (fixture.client.state.status !== "online") {
      await fixture.pass(250);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  return { edge, dialed, away, asked, tokens, ...fixture, comesBack };
}

describe("[A4] [R4] a client that is assigned edges", () => {
  it("connects to the first, and to the next where that is away", async () => {
    const test = await open(["a", "b"].map(urlOf));
    test.away.add("a.test");
    void test.client.connect();
    await test.comesBack();
    expect(test.dialed).toEqual(["a.test", "b.test"]);
    expect(test.asked).toEqual([]);
  });

  it("goes where an edge that restarts, or is full, sends it", async () => {
    const test = await open(["a", "b"].map(urlOf));
    await test.client.connect();
    for (const [code, name] of [
      [1012, "c"],
      [1013, "d"],
    ] as const) {
      test.edge.cut(code, `retry_after_ms=2000 edge=${urlOf(name)}`);
      await settled();
      expect(test.client.state.status).toBe("waiting");
      await test.comesBack();
      expect(test.dialed.at(-1)).toBe(`${name}.test`);
    }
  });

  it("asks for others when all have failed, naming them, and keeps the answer", async () => {
    const test = await open(["a", "b"].map(urlOf), ["c", "a"].map(urlOf));
    await test.client.connect();
    for (const host of ["a.test", "b.test"]) test.away.add(host);
    test.away.add("log-in.test");
    test.edge.cut();
    await settled();
    while (test.dialed.length < 4) await test.pass(250);
    test.away.delete("log-in.test");
    await test.comesBack();
    expect(test.asked.length).toBeGreaterThan(0);
    expect(test.asked[0]).toMatchObject({ region: "eu" });
    expect(test.asked[0]!.failedUrls).toEqual(expect.arrayContaining(["a", "b"].map(urlOf)));
    expect((await test.tokens.load())?.edgeUrls).toEqual(["c", "a"].map(urlOf));
    expect(test.dialed.at(-1)).toBe("c.test");
  });

  it("[D4] stays with its URL where edges are not assigned, and asks for none", async () => {
    const test = await open([]);
    await test.client.connect();
    for (let i = 0; i < 3; i++) {
      test.edge.cut();
      await settled();
      await test.comesBack();
    }
    expect(new Set(test.dialed)).toEqual(new Set(["log-in.test"]));
    expect(test.asked).toEqual([]);
  });
});
