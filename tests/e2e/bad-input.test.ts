/** What clients do wrong, against a whole server, beside others who must notice nothing of it. */
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { CloseCode } from "../../edge/close-codes.ts";
import type { SignIn } from "../../edge/sdk/index.ts";
import { signAccessToken } from "../../mesh/access-token.ts";
import type { DeviceId, UserId } from "../../mesh/ids.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { type Device, newAccount, newDevices } from "./device.ts";
import { RawClient } from "./raw-client.ts";

// A whole server takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const messageService = "parley.message.v1.MessageService";
const edge = {
  PARLEY_EDGE_SILENCE_MS_MAX: "3000",
  PARLEY_EDGE_LAGGING_MS_MAX: "2000",
  PARLEY_EDGE_HEARTBEAT_INTERVAL_MS: "500",
};
/** More than the kernel's buffers of a connection take. */
const muchBytes = 24 * 1024 * 1024;

let parley: ParleyUnderTest;
/** Signs in with whatever it should not. */
let eve: SignIn;
/** A token of hers that the server signed an hour ago, for a minute. */
let expiredToken: string;
/** Two who talk on, and their channel. */
let ann: Device;
let ben: Device;
let bystanders: string;
const disturbances: string[] = [];

beforeAll(async () => {
  parley = await openParley({ edge });
  eve = await newAccount(parley.nextUrl(), "eve");
  expiredToken = await signExpired(eve);
  [ann, ben] = (await newDevices(parley.nextUrl, "ann", "ben")) as [Device, Device];
  bystanders = await ann.openDirect(ben);
  for (const { client } of [ann, ben]) {
    client.on("state", ({ status }) => disturbances.push(status));
    client.on("reset", () => disturbances.push("reset"));
  }
});

afterAll(async () => {
  await ann.client.close();
  await ben.client.close();
  await parley.stop();
});

let chatted = 0;
afterEach(async () => {
  const text = `still here ${++chatted}`;
  await ann.say(bystanders, text);
  await ben.hears(bystanders, text);
  expect(disturbances).toEqual([]);
});

/** Signs a token as the server would have, with the key from its database. */
async function signExpired({ userId, deviceId }: SignIn): Promise<string> {
  const [key] = await parley.queryAccounts<{ key_id: string; private_key: Uint8Array }>(
    "SELECT key_id, private_key FROM signing_keys",
  );
  const bytes = new Uint8Array(key!.private_key);
  const privateKey = await crypto.subtle.importKey("pkcs8", bytes, "Ed25519", false, ["sign"]);
  const issueTimeMs = Date.now() - 3_600_000;
  return signAccessToken(
    { keyId: key!.key_id, privateKey },
    {
      userId: userId as UserId,
      deviceId: deviceId as DeviceId,
      issueTimeMs,
      expireTimeMs: issueTimeMs + 60_000,
    },
  );
}

let clientIds = 0;
/** A UUIDv7 of now. */
function clientMessageId(): string {
  const time = (Date.now() + ++clientIds).toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-000000000000`;
}

/** Calls over HTTP as curl does. */
async function post(
  method: string,
  body: unknown,
  { accessToken, type = "application/json" }: { accessToken?: string; type?: string } = {},
) {
  const response = await fetch(`${parley.nextUrl()}/${method}`, {
    method: "POST",
    headers: {
      "content-type": type,
      ...(accessToken !== undefined && { authorization: `Bearer ${accessToken}` }),
    },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text.startsWith("{") ? JSON.parse(text) : text };
}

/** The reason in a Connect error. */
function reasonIn(body: { details?: { type: string; debug?: { reason?: string } }[] }) {
  const info = body.details?.find(({ type }) => type === "google.rpc.ErrorInfo");
  return info?.debug?.reason;
}

describe("[M2] a text", () => {
  const long = "\u{1d4b3}".repeat(99_999);
  const refused = [
    {
      what: "of 100,000 characters",
      text: "x".repeat(100_000),
      reason: "TEXT_TOO_LONG",
      message: /100000 code points; the limit is 99999/,
    },
    { what: "of nothing", text: "", reason: "TEXT_EMPTY", message: /empty/ },
  ];

  it("of 99,999 characters outside the first plane arrives byte for byte", async () => {
    const text = `${long.slice(2)}\u{10ffff}`;
    await ann.say(bystanders, text);
    await ben.hears(bystanders, text);
    const { body } = await post(
      `${messageService}/ListMessages`,
      { channelId: bystanders, pageSize: 1 },
      { accessToken: ben.signIn.accessToken },
    );
    expect(body.messages[0].text === text).toBe(true);
  });

  it.each(refused)("$what is refused over WebSocket", async ({ text, reason, message }) => {
    const client = await RawClient.signIn(parley.nextUrl(), eve.accessToken);
    const request = { channelId: bystanders, clientMessageId: clientMessageId(), text };
    const { error } = await client.sendText(request);
    expect(error).toMatchObject({ code: 3, reason, message: expect.stringMatching(message) });
    client.ws.close();
  });

  it.each(refused)("$what is refused over HTTP", async ({ text, reason, message }) => {
    const request = { channelId: bystanders, clientMessageId: clientMessageId(), text };
    const { accessToken } = eve;
    const { status, body } = await post(`${messageService}/SendMessage`, request, { accessToken });
    expect([status, body.code, reasonIn(body)]).toEqual([400, "invalid_argument", reason]);
    expect(body.message).toMatch(message);
  });

  it.each([
    { what: "for a channel of others", channel: () => bystanders, reason: "NOT_A_MEMBER" },
    { what: "for no channel", channel: () => "g-00000000000000000000", reason: "NOT_A_MEMBER" },
    { what: "for what can't be a channel", channel: () => "../etc", reason: "FIELD_INVALID" },
  ])("$what is refused", async ({ channel, reason }) => {
    const client = await RawClient.signIn(parley.nextUrl(), eve.accessToken);
    const request = { channelId: channel(), clientMessageId: clientMessageId(), text: "hello" };
    expect((await client.sendText(request)).error).toMatchObject({ reason });
    const { body } = await post(`${messageService}/SendMessage`, request, {
      accessToken: eve.accessToken,
    });
    expect(reasonIn(body)).toBe(reason);
    client.ws.close();
  });

  it.each([
    "",
    "1",
    "01a20143-c21b-4e22-8a61-6a1f0d3f5b11",
    "00000000-0000-7000-8000-000000000000",
  ])("with the client id %j is refused", async (id) => {
    const request = { channelId: bystanders, clientMessageId: id, text: "hello" };
    const { accessToken } = ann.signIn;
    const { status, body } = await post(`${messageService}/SendMessage`, request, { accessToken });
    expect([status, reasonIn(body)]).toEqual([400, "CLIENT_MESSAGE_ID_INVALID"]);
  });

  it("[M5] sent again under its client id has the first result, and another text under it is refused", async () => {
    const { accessToken } = ann.signIn;
    const request = { channelId: bystanders, clientMessageId: clientMessageId(), text: "one" };
    const send = (text: string) =>
      post(`${messageService}/SendMessage`, { ...request, text }, { accessToken });
    const first = await send("one");
    expect(await send("one")).toEqual(first);
    expect(reasonIn((await send("two")).body)).toBe("CLIENT_MESSAGE_ID_REUSED");
  });
});

describe("[A1] [T1] a token", () => {
  /** Says it is somebody else's, with the signature of one's own. */
  function forged(): string {
    const [header, claims, signature] = eve.accessToken.split(".") as [string, string, string];
    const changed = { ...JSON.parse(atob(claims)), sub: ann.userId };
    return `${header}.${Buffer.from(JSON.stringify(changed)).toString("base64url")}.${signature}`;
  }
  function unsigned(): string {
    const [, claims] = eve.accessToken.split(".") as [string, string];
    return `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString("base64url")}.${claims}.`;
  }
  const tokens = [
    { what: "that is missing", token: () => "", code: 4502, reason: "TOKEN_MISSING" },
    { what: "that is none", token: () => "x".repeat(5_000), code: 4502, reason: "TOKEN_INVALID" },
    { what: "with another's name", token: forged, code: 4502, reason: "TOKEN_INVALID" },
    { what: "without a signature", token: unsigned, code: 4502, reason: "TOKEN_INVALID" },
    { what: "that has expired", token: () => expiredToken, code: 4005, reason: "TOKEN_EXPIRED" },
  ];

  it.each(tokens)("$what opens no WebSocket", async ({ token, code, reason }) => {
    const client = await RawClient.open(parley.nextUrl());
    client.send({ hello: { accessToken: token() } });
    expect(await client.closed).toMatchObject({ code, reason: expect.stringContaining(reason) });
  });

  it.each(tokens)("$what makes no call over HTTP", async ({ token, reason }) => {
    const { status, body } = await post(
      `${messageService}/ListChannels`,
      {},
      { accessToken: token() },
    );
    expect([status, body.code, reasonIn(body)]).toEqual([401, "unauthenticated", reason]);
  });

  it("[A3] is worth nothing when its device has logged out", async () => {
    const mallory = await newAccount(parley.nextUrl(), "mallory");
    const { accessToken } = mallory;
    const other = await RawClient.signIn(parley.nextUrl(), accessToken);
    await post("parley.session.v1.SessionService/LogOut", {}, { accessToken });
    expect((await other.closed).code).toBe(CloseCode.TOKEN_REVOKED);
    const again = await RawClient.open(parley.nextUrl());
    again.send({ hello: { accessToken } });
    expect(await again.closed).toMatchObject({ code: CloseCode.TOKEN_REVOKED });
    // Another edge may hear of it a little later.
    const refusal = async () =>
      reasonIn((await post(`${messageService}/ListChannels`, {}, { accessToken })).body);
    await expect.poll(refusal, { timeout: 10_000 }).toBe("TOKEN_REVOKED");
  });
});

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
    expect(await client.call(`${messageService}/ListChannels`, {})).toMatchObject({ json: "{}" });
    client.ws.close();
  });

  it("[R1] whose client is always in a hurry holds up nobody else", async () => {
    const client = await RawClient.signIn(parley.nextUrl(), eve.accessToken);
    const profile = "parley.session.v1.SessionService/GetProfile";
    for (let n = 0; n < 30; n++) {
      const { error } = await client.call(profile, {}, 1);
      if (error) expect(error).toMatchObject({ reason: "DEADLINE_EXCEEDED" });
    }
    const { status } = await post(profile, {}, { accessToken: ann.signIn.accessToken });
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
    const large = "\u{1d4b3}".repeat(99_999);
    const said: string[] = [];
    for (let bytes = 0; bytes < muchBytes; bytes += 4 * 99_999) {
      await ann.say(directId, large);
      said.push(`${bytes}`);
      await ann.say(groupId, said.at(-1)!);
    }
    await ben.hears(groupId, said.at(-1)!);
    expect(ben.texts(groupId)).toEqual(said);
    await expect.poll(() => closed(CloseCode.SLOW_CONSUMER), { timeout: 30_000 }).toBe(1);
    clearInterval(heartbeats);
    socketOf(client).resume();
    expect(await client.closed).toMatchObject({ code: CloseCode.SLOW_CONSUMER });
  });
});

describe("an HTTP request", () => {
  it.each([
    { what: "with no JSON", body: "{", status: 400 },
    { what: "with a field of another type", body: '{"pageSize":"many"}', status: 400 },
    { what: "with a body over the limit", body: " ".repeat(1_536 * 1_024 + 1), status: 429 },
    { what: "of another type", body: "{}", type: "text/plain", status: 415 },
    {
      what: "for a method of services",
      method: "parley.message.v1.MessageService/Link",
      status: 404,
    },
    { what: "for nothing", method: "nothing", status: 404 },
  ])("$what is answered $status", async ({ body = "{}", type, method, status }) => {
    const { accessToken } = eve;
    const path = method ?? `${messageService}/ListChannels`;
    const answer = await post(path, body, { accessToken, ...(type && { type }) });
    expect(answer.status).toBe(status);
  });

  it("with a million bytes of headers is answered 431", async () => {
    const response = await get("/healthz", { x: "x".repeat(1_000_000) });
    expect(response.statusCode).toBe(431);
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
  return get(path, {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
    ...headers,
  });
}

async function get(path: string, headers: Record<string, string>): Promise<IncomingMessage> {
  const sent = httpRequest(`${parley.nextUrl()}${path}`, { headers });
  // A server that refuses a long request early may close while it is still being written.
  sent.on("error", () => {});
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  response.resume();
  return response;
}
