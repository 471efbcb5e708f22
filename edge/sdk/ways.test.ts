import { describe, expect, it } from "vitest";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { settled } from "./client-fixture.ts";
import { allWays, type Way, Ways } from "./ways.ts";

const edge = "http://edge.test";

/** A choice, before an edge that answers HTTP, or not. */
function start(ways: readonly Way[] = allWays) {
  const clock = new ManualClock();
  const edgeIs = { there: true };
  const choice = new Ways({
    ways,
    timers: clock,
    fetch: async () => {
      if (!edgeIs.there) throw new TypeError("fetch failed");
      return new Response("ready\n");
    },
  });
  const fail = async () => {
    await choice.onFailure(choice.next(), edge);
    return choice.next();
  };
  return { choice, clock, edgeIs, fail };
}

describe("[T2] the way to the edge", () => {
  it("is WebSocket; after two failures an event stream, after one of that polls, then anew", async () => {
    const { choice, fail } = start();
    expect(choice.next()).toBe("websocket");
    const ways = [];
    for (let failures = 0; failures < 5; failures++) ways.push(await fail());
    expect(ways).toEqual(["websocket", "sse", "poll", "websocket", "websocket"]);
  });

  it("stays WebSocket where the failures are far between, or the edge is away", async () => {
    const { choice, edgeIs, fail } = start();
    await fail();
    choice.onWelcome();
    expect(await fail()).toBe("websocket");
    edgeIs.there = false;
    for (let failures = 0; failures < 9; failures++) expect(await fail()).toBe("websocket");
    edgeIs.there = true;
    expect(await fail()).toBe("websocket");
  });

  it("is remembered, and WebSocket tried again by a new connection five minutes later", async () => {
    const { choice, clock, fail } = start();
    await fail();
    await fail();
    choice.onWelcome();
    clock.advance(4 * 60_000);
    expect(choice.next()).toBe("sse");
    clock.advance(2 * 60_000);
    expect(choice.next()).toBe("websocket");
  });

  it("is never one that may not be used", async () => {
    const { fail } = start(["poll"]);
    expect(await fail()).toBe("poll");
    expect(() => start([])).toThrow(TypeError);
  });

  it("does not change where an edge that seems to be there never answers", async () => {
    const clock = new ManualClock();
    const fetch = (_url: unknown, init?: RequestInit) =>
      new Promise<Response>((_resolve, reject) => {
        init!.signal!.addEventListener("abort", () => reject(init!.signal!.reason));
      });
    const choice = new Ways({ ways: allWays, timers: clock, fetch });
    for (let failures = 0; failures < 3; failures++) {
      const over = choice.onFailure("websocket", edge);
      clock.advance(5_000);
      await settled();
      await over;
    }
    expect(choice.next()).toBe("websocket");
  });
});
