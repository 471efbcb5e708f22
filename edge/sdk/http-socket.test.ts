import { describe, expect, it } from "vitest";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { settled } from "./client-fixture.ts";
import { HttpSocket } from "./http-socket.ts";
import type { HttpWay } from "./ways.ts";

interface Asked {
  path: string;
  headers: Record<string, string>;
  body: unknown;
  signal: AbortSignal;
  answer(response: Response): void;
  fail(error: unknown): void;
}

const hello = '{"hello":{"accessToken":"token"}}';
const ack = '{"ack":{"inboxSequence":"1"}}';

/** A socket that has said hello to an edge that tests answer for. */
async function start(way: HttpWay) {
  const clock = new ManualClock();
  const asked: Asked[] = [];
  const frames: unknown[] = [];
  const ends: { code: number; reason: string }[] = [];
  const socket = new HttpSocket({
    url: "http://edge.test",
    way,
    accessToken: async () => "token",
    hello: () => ({ inboxEpoch: "e1", inboxSequence: 7n }),
    timers: clock,
    fetch: (url, init) =>
      new Promise((answer, fail) => {
        const { headers, body, signal } = init as RequestInit & { headers: Asked["headers"] };
        const path = new URL(String(url)).pathname;
        asked.push({
          path,
          headers,
          body: JSON.parse(body as string),
          signal: signal!,
          answer,
          fail,
        });
        signal!.addEventListener("abort", () => fail(signal!.reason));
      }),
  });
  socket.onopen = () => socket.send(hello);
  socket.onmessage = ({ data }) => frames.push(data);
  socket.onclose = (end) => ends.push(end);
  await settled();
  return { clock, socket, asked, frames, ends };
}

/** An event stream that tests write. */
function stream() {
  let write: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      write = controller;
    },
  });
  return {
    response: new Response(body),
    async say(text: string) {
      write.enqueue(new TextEncoder().encode(text));
      await settled();
    },
    async end() {
      write.close();
      await settled();
    },
  };
}

const welcome = { welcome: { connectionId: "edge-1-1" } };

describe("[T2] a socket over HTTP", () => {
  it("goes on from turn to turn with the last id, and says where it is", async () => {
    const { asked, frames } = await start("sse");
    expect(asked[0]).toMatchObject({
      path: "/v1/events",
      headers: { authorization: "Bearer token" },
      body: { hello: { accessToken: "token" } },
    });
    const turn = stream();
    asked[0]!.answer(turn.response);
    await turn.say(`retry: 1000\n\ndata: ${JSON.stringify(welcome)}\n\n`);
    await turn.say('id: a.2.7.e1\ndata: {"caughtUp":{}}\n\n:\n\n');
    expect(frames).toEqual([welcome, { caughtUp: {} }]);
    await turn.end();
    expect(asked[1]).toMatchObject({
      headers: { "last-event-id": "a.2.7.e1" },
      body: { hello: { inboxEpoch: "e1", inboxSequence: "7" } },
    });
  });

  it("polls again at once, whether or not there was anything", async () => {
    const { asked, frames } = await start("poll");
    asked[0]!.answer(Response.json({ frames: [welcome], lastEventId: "a.1.7.e1" }));
    await settled();
    asked[1]!.answer(Response.json({ frames: [], lastEventId: "a.1.8.e1" }));
    await settled();
    expect(asked[2]!.headers["last-event-id"]).toBe("a.1.8.e1");
    expect(frames).toEqual([welcome]);
  });

  it("posts what gathers together, and tells each answer as it comes", async () => {
    const { asked, frames, socket } = await start("sse");
    socket.send('{"send":{"requestId":1}}');
    socket.send('{"call":{"requestId":2}}');
    await settled();
    expect(asked[1]).toMatchObject({
      path: "/v1/frames",
      body: { frames: [{ send: { requestId: 1 } }, { call: { requestId: 2 } }] },
    });
    expect(asked[1]!.headers).not.toHaveProperty("parley-connection");
    const answers = stream();
    asked[1]!.answer(answers.response);
    await answers.say('{"result":{"requestId":2}}\n{"send');
    expect(frames).toEqual([{ result: { requestId: 2 } }]);
    await answers.say('Result":{"requestId":1}}\n');
    expect(frames).toHaveLength(2);
  });

  it("names its connection where a post is about that", async () => {
    const { asked, socket } = await start("poll");
    asked[0]!.answer(Response.json({ frames: [welcome], lastEventId: "a.1.7.e1" }));
    await settled();
    socket.send('{"followChannels":{"channels":[]}}');
    await settled();
    expect(asked.at(-1)!.headers["parley-connection"]).toBe("edge-1-1");
  });

  it("has four posts under way at most, 64 frames each", async () => {
    const { asked, socket } = await start("sse");
    for (let n = 0; n < 300; n++) socket.send(ack);
    await settled();
    const posts = asked.filter(({ path }) => path === "/v1/frames");
    expect(posts.map(({ body }) => (body as { frames: [] }).frames.length)).toEqual([
      64, 64, 64, 64,
    ]);
    posts[0]!.answer(new Response(""));
    await settled();
    expect((asked.at(-1)!.body as { frames: [] }).frames).toHaveLength(44);
  });

  it("answers heartbeats itself: turns show whether the edge is there", async () => {
    const { asked, frames, socket } = await start("sse");
    socket.send('{"heartbeat":{}}');
    await settled();
    expect(frames).toEqual([{ heartbeatResult: {} }]);
    expect(asked).toHaveLength(1);
  });

  it.each([
    { way: "sse", ms: 20_000 },
    { way: "poll", ms: 35_000 },
  ] as const)("is over where nothing was heard by $way for $ms ms", async ({ way, ms }) => {
    const { clock, ends } = await start(way);
    clock.advance(ms - 1);
    await settled();
    expect(ends).toEqual([]);
    clock.advance(1);
    await settled();
    expect(ends).toMatchObject([{ code: 1006 }]);
  });

  it("lives as long as the stream shows life", async () => {
    const { asked, clock, ends } = await start("sse");
    const turn = stream();
    asked[0]!.answer(turn.response);
    for (let comments = 0; comments < 5; comments++) {
      await turn.say(":\n\n");
      clock.advance(15_000);
    }
    await settled();
    expect(ends).toEqual([]);
  });

  it("ends with the edge's code: as an event, in a poll, and in an HTTP error", async () => {
    const close = { code: 4503, reason: "ended" };
    const streaming = await start("sse");
    const turn = stream();
    streaming.asked[0]!.answer(turn.response);
    await turn.say(`event: close\ndata: ${JSON.stringify(close)}\n\n`);
    expect(streaming.ends).toEqual([close]);
    const refused = await start("poll");
    refused.asked[0]!.answer(Response.json({ frames: [], close }, { status: 401 }));
    await settled();
    expect(refused.ends).toEqual([close]);
  });

  it("ends with 1006 where something else answers, or nothing can be reached", async () => {
    const gateway = await start("sse");
    gateway.asked[0]!.answer(new Response("<html>Bad Gateway</html>", { status: 502 }));
    const empty = await start("sse");
    empty.asked[0]!.answer(new Response(""));
    const page = await start("poll");
    page.asked[0]!.answer(new Response("<html>Please log in</html>"));
    const away = await start("poll");
    away.asked[0]!.fail(new TypeError("fetch failed"));
    await settled();
    for (const { ends, asked } of [gateway, empty, page, away]) {
      expect(ends).toMatchObject([{ code: 1006 }]);
      expect(asked).toHaveLength(1);
    }
  });

  it.each([
    { reason: "TOKEN_EXPIRED", status: 401, code: 4005 },
    { reason: "OVERLOADED", status: 429, code: 1006 },
    { reason: "CONNECTION_UNKNOWN", status: 404, code: 1006 },
  ])("ends with $code where a post is refused: $reason", async ({ reason, status, code }) => {
    const { asked, ends, socket } = await start("sse");
    socket.send(ack);
    await settled();
    asked[1]!.answer(Response.json({ reason, detail: "no" }, { status }));
    await settled();
    expect(ends).toEqual([{ code, reason: "no" }]);
    expect(asked[0]!.signal.aborted).toBe(true);
  });

  it("that is closed ends its turn, and posts what waits still", async () => {
    const { asked, ends, socket } = await start("sse");
    socket.send(ack);
    socket.close();
    await settled();
    expect(asked[0]!.signal.aborted).toBe(true);
    expect(asked[1]).toMatchObject({ path: "/v1/frames", body: { frames: [JSON.parse(ack)] } });
    expect(asked[1]!.signal.aborted).toBe(false);
    expect(ends).toEqual([{ code: 1000, reason: "" }]);
  });
});
