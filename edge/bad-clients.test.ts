import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { connect, type Socket } from "node:net";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { ClientFrameSchema } from "../gen/parley/edge/v1/frame_pb.js";
import { Code, RpcError } from "../mesh/errors.ts";
import { CloseCode } from "./close-codes.ts";
import { EdgeFixture } from "./edge-fixture.ts";
import type { SocketClient } from "./frame-client.ts";

/** What clients do wrong, how it ends, and the subprotocols over which they can. */
const mistakes: {
  name: string;
  subprotocol?: string;
  code: number;
  reason: RegExp;
  commit(client: SocketClient): void;
}[] = [
  {
    name: "bytes that are no Protobuf",
    code: CloseCode.BAD_FRAME,
    reason: /./,
    commit: ({ ws }) => ws.send(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff])),
  },
  {
    name: "Protobuf nested a hundred thousand deep",
    code: CloseCode.BAD_FRAME,
    reason: /recursion/,
    // The start of a group with the unknown number 15.
    commit: ({ ws }) => ws.send(Buffer.alloc(100_000, 0x7b)),
  },
  {
    name: "a text message in Protobuf",
    code: CloseCode.BAD_FRAME,
    reason: /text message/,
    commit: ({ ws }) => ws.send("{}"),
  },
  {
    name: "text that is no JSON",
    subprotocol: "parley.v1.json",
    code: CloseCode.BAD_FRAME,
    reason: /./,
    commit: ({ ws }) => ws.send('{"heartbeat": {'),
  },
  {
    name: "JSON nested half a million deep",
    subprotocol: "parley.v1.json",
    code: CloseCode.BAD_FRAME,
    reason: /./,
    commit: ({ ws }) => ws.send("[".repeat(500_000)),
  },
  {
    name: "JSON of another shape",
    subprotocol: "parley.v1.json",
    code: CloseCode.BAD_FRAME,
    reason: /request_?id/i,
    commit: ({ ws }) => ws.send('{"send": {"requestId": "seven"}}'),
  },
  {
    name: "a binary message in JSON",
    subprotocol: "parley.v1.json",
    code: CloseCode.BAD_FRAME,
    reason: /binary message/,
    commit: ({ ws }) => ws.send(Buffer.from("{}")),
  },
  {
    name: "a frame without content",
    code: CloseCode.BAD_FRAME,
    reason: /without anything/,
    commit: ({ ws }) => ws.send(Buffer.alloc(0)),
  },
  {
    name: "a Protobuf frame over the limit",
    code: 1009,
    reason: /^/,
    commit: ({ ws }) => ws.send(Buffer.alloc(512 * 1024 + 1)),
  },
  {
    name: "a JSON frame over the limit",
    subprotocol: "parley.v1.json",
    code: 1009,
    reason: /^/,
    commit: ({ ws }) => ws.send(" ".repeat(1536 * 1024 + 1)),
  },
  {
    name: "a first frame that is not Hello",
    code: CloseCode.UNEXPECTED_FRAME,
    reason: /heartbeat before welcome/,
    commit: (client) => client.send({ case: "heartbeat", value: {} }),
  },
  {
    name: "no token",
    code: CloseCode.TOKEN_INVALID,
    reason: /TOKEN_MISSING/,
    commit: (client) => client.send({ case: "hello", value: {} }),
  },
  {
    name: "a forged token",
    code: CloseCode.TOKEN_INVALID,
    reason: /TOKEN_INVALID/,
    commit: (client) => client.send({ case: "hello", value: { accessToken: "forged" } }),
  },
  {
    name: "an expired token",
    code: CloseCode.TOKEN_EXPIRED,
    reason: /TOKEN_EXPIRED/,
    commit: (client) => client.send({ case: "hello", value: { accessToken: "expired" } }),
  },
  {
    name: "a token that can't be checked now",
    code: CloseCode.UNAVAILABLE,
    reason: /UNAVAILABLE/,
    commit: (client) => client.send({ case: "hello", value: { accessToken: "away" } }),
  },
  {
    name: "a negative position",
    code: CloseCode.BAD_FRAME,
    reason: /inbox_sequence: -1 is not in 0\.\.2\^53-1/,
    commit: (client) =>
      client.send({ case: "hello", value: { accessToken: "eve/eve-1", inboxSequence: -1n } }),
  },
  {
    name: "a frame that follows Hello before Welcome",
    code: CloseCode.UNEXPECTED_FRAME,
    reason: /call before welcome/,
    commit: (client) => {
      client.send({ case: "hello", value: { accessToken: "eve/eve-1" } });
      client.send({ case: "call", value: {} });
    },
  },
];

describe("[T1] [S2] a client that makes a mistake is told, and nobody else notices:", () => {
  it.each(mistakes)("$name", async ({ subprotocol, code, reason, commit }) => {
    await using fixture = await new EdgeFixture().start();
    const healthy = await fixture.signIn("alice/alice-1");
    await healthy.next("caughtUp");
    const client = await fixture.connect(subprotocol);
    commit(client);
    const closed = await client.closed;
    expect(closed.code).toBe(code);
    expect(closed.reason).toMatch(reason);
    expect(await healthy.isAlive()).toBe(true);
    await expect.poll(() => fixture.edge.connectionCount).toBe(1);
  });

  it.each([
    {
      name: "a second Hello",
      frame: { case: "hello", value: { accessToken: "eve/eve-1" } } as const,
      code: CloseCode.UNEXPECTED_FRAME,
      reason: /second hello/,
    },
    {
      name: "an ack of what was never delivered",
      frame: { case: "ack", value: { inboxSequence: 99n } } as const,
      code: CloseCode.BAD_FRAME,
      reason: /ack.inbox_sequence: 99 is not in 0..1/,
    },
    {
      name: "an ack of a channel that can't be one",
      frame: { case: "ack" as const, value: { channels: [{ channelId: "g".repeat(65) }] } },
      code: CloseCode.BAD_FRAME,
      reason: /ack.channels/,
    },
  ])("$name", async ({ frame, code, reason }) => {
    await using fixture = await new EdgeFixture().start();
    const client = await fixture.signIn("eve/eve-1");
    await client.next("caughtUp");
    client.send(frame);
    expect(await client.closed).toMatchObject({ code, reason: expect.stringMatching(reason) });
    expect(fixture.presence).toEqual(["attached eve-1", "detached eve-1"]);
  });

  it.each([
    { name: "an unknown method", method: "parley.X/Y", reason: "METHOD_UNKNOWN" },
    {
      name: "a method for services",
      method: "parley.presence.v1.PresenceService/GetOwnedPresence",
      reason: "METHOD_NOT_PUBLIC",
    },
    {
      name: "a stream",
      method: "parley.message.v1.MessageService/Link",
      reason: "METHOD_NOT_PUBLIC",
    },
    {
      name: "a request that can't be decoded",
      method: "parley.message.v1.MessageService/ListChannels",
      reason: "FIELD_INVALID",
    },
  ])(
    "a call of $name is answered with an error and nothing is closed",
    async ({ method, reason }) => {
      await using fixture = await new EdgeFixture().start();
      const client = await fixture.signIn("eve/eve-1");
      await client.next("caughtUp");
      const bad = { case: "protobuf", value: new Uint8Array([0xff]) } as const;
      client.send({ case: "call", value: { requestId: 5, method, request: bad } });
      const { requestId, result } = await client.next("result");
      expect(requestId).toBe(5);
      expect(result).toMatchObject({ case: "error", value: { reason } });
      expect(fixture.calls).toEqual([]);
      expect(await client.isAlive()).toBe(true);
    },
  );
});

describe("[T1] a handshake that is refused", () => {
  const cases: { name: string; path?: string; headers: Record<string, string>; status: number }[] =
    [
      { name: "no subprotocol", headers: {}, status: 400 },
      {
        name: "an unknown subprotocol",
        headers: { "sec-websocket-protocol": "chat, parley.v9.xml" },
        status: 400,
      },
      {
        name: "another path",
        path: "/socket",
        headers: { "sec-websocket-protocol": "parley.v1.json" },
        status: 404,
      },
      {
        name: "a page of another origin",
        headers: { "sec-websocket-protocol": "parley.v1.json", origin: "https://evil.example" },
        status: 403,
      },
      { name: "a million bytes of headers", headers: { x: "x".repeat(1_000_000) }, status: 431 },
    ];
  it.each(cases)("($name) is answered $status with a text", async ({ path, headers, status }) => {
    await using fixture = await new EdgeFixture({ origins: ["https://parley.example"] }).start();
    const healthy = await fixture.signIn("alice/alice-1");
    const response = await upgrade(fixture.edge.address, path ?? "/ws", headers);
    expect(response.statusCode).toBe(status);
    await healthy.next("caughtUp");
    expect(await healthy.isAlive()).toBe(true);
  });

  it("[A4] for want of room is told so, and room is made by who leaves", async () => {
    await using fixture = await new EdgeFixture({ connectionsMax: 1 }).start();
    const first = await fixture.connect();
    const refused = await fixture.connect();
    expect(await refused.closed).toMatchObject({ code: CloseCode.TRY_AGAIN_LATER });
    const polled = await fetch(`http://${fixture.edge.address}/v1/poll`);
    expect(polled.status).toBe(503);
    expect(await polled.json()).toMatchObject({ close: { code: CloseCode.TRY_AGAIN_LATER } });
    expect(fixture.edge.connectionCount).toBe(1);
    first.ws.close();
    await first.closed;
    await expect.poll(() => fixture.edge.connectionCount).toBe(0);
    await fixture.connect();
  });
});

describe("one address with all the connections that it may have", () => {
  it("[O3] gets no further one, while others and the machine itself do", async () => {
    const limits = { connectionsPerAddressMax: 1, forwardedHops: 1 };
    await using fixture = await new EdgeFixture(limits).start();
    const from = (address: string) =>
      fixture.connect("parley.v1.json", { "x-forwarded-for": address });
    const first = await from("192.0.2.1");
    const refused = await from("192.0.2.1");
    expect(await refused.closed).toMatchObject({ code: CloseCode.TRY_AGAIN_LATER });
    const polled = await fetch(`http://${fixture.edge.address}/v1/poll`, {
      headers: { "x-forwarded-for": "192.0.2.1" },
    });
    expect(polled.status).toBe(503);
    await from("2001:db8::1");
    const neighbour = await from("2001:db8::2");
    expect(await neighbour.closed).toMatchObject({ code: CloseCode.TRY_AGAIN_LATER });
    await fixture.connect();
    await fixture.connect();
    expect(fixture.edge.connectionCount).toBe(4);
    first.ws.close();
    await expect.poll(() => fixture.edge.connectionCount).toBe(3);
    await from("192.0.2.1");
    expect(fixture.edge.connectionCount).toBe(4);
  });
});

describe("[P2] a connection that falls silent", () => {
  it("is closed after the time for Hello", async () => {
    await using fixture = await new EdgeFixture().start();
    const client = await fixture.connect();
    fixture.clock.advance(9_000);
    expect(client.ws.readyState).toBe(WebSocket.OPEN);
    fixture.clock.advance(1_500);
    expect(await client.closed).toMatchObject({ code: CloseCode.HELLO_TIMEOUT });
  });

  it("is closed after 30 s without a frame, while another heartbeats on", async () => {
    await using fixture = await new EdgeFixture().start();
    const silent = await fixture.signIn("eve/eve-1");
    const healthy = await fixture.signIn("alice/alice-1");
    await healthy.next("caughtUp");
    for (let elapsedMs = 0; elapsedMs < 30_000; elapsedMs += 5_000) {
      expect(fixture.presence).not.toContain("detached eve-1");
      await healthy.isAlive();
      fixture.clock.advance(5_000);
    }
    expect(await silent.closed).toMatchObject({ code: CloseCode.HEARTBEAT_TIMEOUT });
    expect(await healthy.isAlive()).toBe(true);
    expect(fixture.presence).toEqual(["attached eve-1", "attached alice-1", "detached eve-1"]);
  });

  it("is dropped though its other end is gone and answers nothing (half-open)", async () => {
    await using fixture = await new EdgeFixture().start();
    const [host, port] = fixture.edge.address.split(":");
    const socket = connect(Number(port), host);
    socket.write(rawHandshake);
    await once(socket, "data");
    socket.write(maskedFrame({ case: "hello", value: { accessToken: "eve/eve-1" } }));
    await expect.poll(() => fixture.presence).toEqual(["attached eve-1"]);
    socket.pause();
    fixture.clock.advance(31_000);
    expect(fixture.presence).toEqual(["attached eve-1", "detached eve-1"]);
    socket.destroy();
  });
});

describe("[R1] [O3] a client that asks for too much at once", () => {
  it("is refused what exceeds the limit, with a hint when to try again", async () => {
    await using fixture = await new EdgeFixture({ callsMax: 3, sendsMax: 4 }).start();
    const client = await fixture.signIn("eve/eve-1");
    await client.next("caughtUp");
    fixture.holdsSends = true;
    const method = "parley.message.v1.MessageService/ListChannels";
    fixture.answers.set(method, () => new Promise(() => {}));
    // One chunk, so that all of it has arrived before the edge stops reading.
    const socket = (client.ws as unknown as { _socket: Socket })._socket;
    socket.cork();
    for (let requestId = 1; requestId <= 5; requestId++) {
      client.send({ case: "call", value: { requestId, method } });
      client.send({ case: "send", value: { requestId: 10 + requestId, request: {} } });
    }
    socket.uncork();
    const overloaded = { code: Code.RESOURCE_EXHAUSTED, reason: "OVERLOADED", retryAfterMs: 500 };
    expect(await client.next("result")).toMatchObject({
      requestId: 4,
      result: { case: "error", value: overloaded },
    });
    expect((await client.next("result")).requestId).toBe(5);
    expect(await client.next("sendResult")).toMatchObject({
      requestId: 15,
      result: { case: "error", value: overloaded },
    });
    expect(fixture.sends.length).toBe(4);
  });

  it("is not read on before something is answered", async () => {
    await using fixture = await new EdgeFixture({ sendsMax: 10 }).start();
    const client = await fixture.signIn("eve/eve-1");
    await client.next("caughtUp");
    fixture.holdsSends = true;
    const request = { channelId: "g-1", text: "x".repeat(100_000) };
    for (let requestId = 1; requestId <= 100; requestId++) {
      client.send({ case: "send", value: { requestId, request } });
    }
    await expect.poll(() => fixture.sends.length).toBeGreaterThan(5);
    expect(fixture.sends.length).toBeLessThan(10);
    fixture.clock.advance(60_000);
    fixture.holdsSends = false;
    for (const send of fixture.sends.slice()) send.done(unavailable);
    for (let answered = 0; answered < 100; answered++) {
      const { result } = await client.next("sendResult");
      expect(result.case === "error" && result.value.reason).not.toBe("OVERLOADED");
    }
  });
});

/** Asks for a WebSocket and gives whatever HTTP answers. */
async function upgrade(
  address: string,
  path: string,
  headers: Record<string, string>,
): Promise<IncomingMessage> {
  const all = { connection: "Upgrade", upgrade: "websocket", ...webSocketHeaders, ...headers };
  const sent = request(`http://${address}${path}`, { headers: all });
  // A server that refuses a long request early may close while it is still being written.
  sent.on("error", () => {});
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  response.resume();
  return response;
}

const webSocketHeaders = {
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
  "sec-websocket-version": "13",
};

const rawHandshake = [
  "GET /ws HTTP/1.1",
  "Host: edge",
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Protocol: parley.v1.protobuf",
  "\r\n",
].join("\r\n");

/** A short client frame in a WebSocket message with an empty mask. */
function maskedFrame(frame: MessageInitShape<typeof ClientFrameSchema>["frame"]): Buffer {
  const bytes = toBinary(ClientFrameSchema, create(ClientFrameSchema, { frame: frame! }));
  return Buffer.concat([Buffer.from([0x82, 0x80 | bytes.length, 0, 0, 0, 0]), bytes]);
}

const unavailable = new RpcError(Code.UNAVAILABLE, "UNAVAILABLE", "try again");
