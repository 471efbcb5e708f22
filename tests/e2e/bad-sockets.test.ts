/** What clients do wrong on a WebSocket, beside others who must notice nothing of it. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { CloseCode } from "../../edge/close-codes.ts";
import type { SignIn } from "../../edge/sdk/index.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { Bystanders } from "./bystanders.ts";
import { newAccount } from "./device.ts";
import { RawClient } from "./raw-client.ts";
import { get, post } from "./raw-http.ts";

// A whole server takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const edge = {
  PARLEY_EDGE_SILENCE_MS_MAX: "3000",
  PARLEY_EDGE_LAGGING_MS_MAX: "2000",
  PARLEY_EDGE_HEARTBEAT_INTERVAL_MS: "500",
};
/** More than the kernel's buffers of a connection take. */
const muchBytes = 24 * 1024 * 1024;

let parley: ParleyUnderTest;
/** Connects and does whatever she should not. */
let eve: SignIn;
let bystanders: Bystanders;

beforeAll(async () => {
  parley = await openParley({ edge });
  eve = await newAccount(parley.nextUrl(), "eve");
  bystanders = await Bystanders.connect(parley);
});
afterAll(async () => {
  await bystanders.close();
  await parley.stop();
});
afterEach(() => bystanders.talkOn());

describe("[T1] a WebSocket", () => {
  it.each([
    { what: "without a subprotocol", headers: {}, status: 400 },
    { what: "with an unknown one", headers: { "sec-websocket-protocol": "xmpp" }, status: 400 },
    { what: "elsewhere", path: "/chat", headers: {}, status: 404 },
    { what: "with a million bytes of headers", headers: { x: "x".repeat(1_000_000) }, status: 431 },
  ])("$what is not opened", async ({ path, headers, status }) => {
    expect((await upgrade(path ?? "/ws", headers)).statusCode).toBe(status);
  });

  it.each([
    {
      what: "text that is no JSON",
      commit: ({ ws }: RawClient) => ws.send("hello"),
      code: CloseCode.BAD_FRAME,
    },
    {
      what: "a binary message in JSON",
      commit: ({ ws }: RawClient) => ws.send(Buffer.from("{}")),
      code: CloseCode.BAD_FRAME,
    },
    {
      what: "a frame over the limit",
      commit: ({ ws }: RawClient) => ws.send(" ".repeat(1_536 * 1_024 + 1)),
      code: CloseCode.MESSAGE_TOO_BIG,
    },
    {
      what: "a call before hello",
      commit: (client: RawClient) => client.send({ call: { requestId: 1 } }),
      code: CloseCode.UNEXPECTED_FRAME,
    },
    {
      what: "bytes that are no Protobuf",
      subprotocol: "parley.v1.protobuf",
      commit: ({ ws }: RawClient) => ws.send(Buffer.alloc(5, 0xff)),
      code: CloseCode.BAD_FRAME,
    },
    {
      what: "text in Protobuf",
      subprotocol: "parley.v1.protobuf",
      commit: ({ ws }: RawClient) => ws.send("{}"),
      code: CloseCode.BAD_FRAME,
    },
    {
      what: "a Protobuf frame over the limit",
      subprotocol: "parley.v1.protobuf",
      commit: ({ ws }: RawClient) => ws.send(Buffer.alloc(512 * 1_024 + 1)),
      code: CloseCode.MESSAGE_TOO_BIG,
    },
  ])("with $what is closed", async ({ subprotocol, commit, code }) => {
    const client = await RawClient.open(parley.nextUrl(), subprotocol);
    commit(client);
    expect((await client.closed).code).toBe(code);
  });

  it.each([
    { method: "parley.presence.v1.PresenceService/GetOwnedPresence", reason: "METHOD_NOT_PUBLIC" },
    { method: "parley.message.v1.MessageService/Link", reason: "METHOD_NOT_PUBLIC" },
    { method: "parley.session.v1.SessionService/ListSigningKeys", reason: "METHOD_NOT_PUBLIC" },
    { method: "parley.idgen.v1.IdGenService/ReserveIds", reason: "METHOD_UNKNOWN" },
    { method: "../healthz", reason: "METHOD_UNKNOWN" },
  ])("does not carry a call of $method", async ({ method, reason }) => {
    const client = await RawClient.signIn(parley.nextUrl(), eve.accessToken);
    expect((await client.call(method, {})).error).toMatchObject({ code: 12, reason });
    expect(await client.call("parley.message.v1.MessageService/ListChannels", {})).toMatchObject({
      json: "{}",
    });
    client.ws.close();
  });

  it("[R1] whose client is always in a hurry holds up nobody else", async () => {
    const client = await RawClient.signIn(parley.nextUrl(), eve.accessToken);
    const profile = "parley.session.v1.SessionService/GetProfile";
    for (let n = 0; n < 30; n++) {
      const { error } = await client.call(profile, {}, 1);
      if (error) expect(error).toMatchObject({ reason: "DEADLINE_EXCEEDED" });
    }
    const { status } = await post(
      parley.nextUrl(),
      profile,
      {},
      { accessToken: bystanders.ann.signIn.accessToken },
    );
    expect(status).toBe(200);
    client.ws.close();
  });

  it("[P2] whose other end has vanished is dropped", async () => {
    const client = await RawClient.signIn(parley.nextUrl(), eve.accessToken);
    const before = await closed(CloseCode.HEARTBEAT_TIMEOUT);
    // Nothing is read any more, nothing sent, and nothing closed.
    socketOf(client).pause();
    await expect
      .poll(() => closed(CloseCode.HEARTBEAT_TIMEOUT), { timeout: 30_000 })
      .toBe(before + 1);
    socketOf(client).resume();
    expect(await client.closed).toMatchObject({ code: CloseCode.HEARTBEAT_TIMEOUT });
  });

  it("[S2] [R1] whose client never reads is closed, and the others of its group miss nothing", async () => {
    const { ann, ben } = bystanders;
    const slow = await newAccount(parley.nextUrl(), "slow");
    const { channel } = await ann.calls.createGroup({
      clientMessageId: ann.client.newClientMessageId(),
      name: "loud",
      userIds: [ben.userId, slow.userId],
    });
    const groupId = channel!.channelId;
    const directId = (await ann.calls.createDirectChannel({ userId: slow.userId })).channel!
      .channelId;
    const client = await RawClient.signIn(parley.nextUrl(), slow.accessToken);
    socketOf(client).pause();
    const heartbeats = setInterval(() => client.send({ heartbeat: {} }), 300);
    let isClosed = false;
    // It has 5 s to read that it was closed.
    const resumed = expect
      .poll(() => closed(CloseCode.SLOW_CONSUMER), { timeout: 45_000 })
      .toBe(1)
      .then(() => {
        isClosed = true;
        socketOf(client).resume();
      });
    // The largest that an inbox takes: 3 bytes each, and one word to the search index.
    const large = Array<string>(8).fill("\u2d30".repeat(16_384));
    const said: string[] = [];
    for (let bytes = 0; bytes < muchBytes && !isClosed; bytes += 8 * 3 * 16_384) {
      await Promise.all(large.map((text) => ann.say(directId, text)));
      said.push(`${bytes}`);
      await ann.say(groupId, said.at(-1)!);
    }
    await ben.hears(groupId, said.at(-1)!);
    expect(ben.texts(groupId)).toEqual(said);
    await resumed;
    clearInterval(heartbeats);
    expect(await client.closed).toMatchObject({ code: CloseCode.SLOW_CONSUMER });
  });
});

/** How many connections the edges have closed with a code. */
async function closed(code: CloseCode): Promise<number> {
  const count = new RegExp(`^parley_edge_connections_closed_total\\{code="${code}"\\} (\\d+)`, "m");
  const metrics = await parley.edgeMetrics();
  return metrics.reduce((sum, text) => sum + Number(count.exec(text)?.[1] ?? 0), 0);
}

function socketOf(client: RawClient): Socket {
  return (client.ws as unknown as { _socket: Socket })._socket;
}

/** Asks for a WebSocket and gives whatever HTTP answers. */
function upgrade(path: string, headers: Record<string, string>): Promise<IncomingMessage> {
  return get(`${parley.nextUrl()}${path}`, {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
    ...headers,
  });
}
