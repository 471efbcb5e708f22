/** What clients say wrong, against a whole server, beside others who must notice nothing of it. */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { CloseCode } from "../../edge/close-codes.ts";
import type { SignIn } from "../../edge/sdk/index.ts";
import { signAccessToken } from "../../mesh/access-token.ts";
import type { DeviceId, UserId } from "../../mesh/ids.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { Bystanders } from "./bystanders.ts";
import { newAccount } from "./device.ts";
import { RawClient } from "./raw-client.ts";
import { get, type PostOptions, post as postTo, reasonIn } from "./raw-http.ts";

// A whole server takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const messageService = "parley.message.v1.MessageService";

let parley: ParleyUnderTest;
/** Signs in with whatever it should not. */
let eve: SignIn;
/** A token of hers that the server signed an hour ago, for a minute. */
let expiredToken: string;
let bystanders: Bystanders;
const post = (method: string, body: unknown, options?: PostOptions) =>
  postTo(parley.nextUrl(), method, body, options);

beforeAll(async () => {
  parley = await openParley();
  eve = await newAccount(parley.nextUrl(), "eve");
  expiredToken = await signExpired(eve);
  bystanders = await Bystanders.connect(parley);
});
afterAll(async () => {
  await bystanders.close();
  await parley.stop();
});
afterEach(() => bystanders.talkOn());

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
    const { ann, ben, channelId } = bystanders;
    await ann.say(channelId, text);
    await ben.hears(channelId, text);
    const { body } = await post(
      `${messageService}/ListMessages`,
      { channelId, pageSize: 1 },
      { accessToken: ben.signIn.accessToken },
    );
    expect(body.messages[0].text === text).toBe(true);
  });

  it.each(refused)("$what is refused over WebSocket", async ({ text, reason, message }) => {
    const client = await RawClient.signIn(parley.nextUrl(), eve.accessToken);
    const request = { channelId: bystanders.channelId, clientMessageId: clientMessageId(), text };
    const { error } = await client.sendText(request);
    expect(error).toMatchObject({ code: 3, reason, message: expect.stringMatching(message) });
    client.ws.close();
  });

  it.each(refused)("$what is refused over HTTP", async ({ text, reason, message }) => {
    const request = { channelId: bystanders.channelId, clientMessageId: clientMessageId(), text };
    const { accessToken } = eve;
    const { status, body } = await post(`${messageService}/SendMessage`, request, { accessToken });
    expect([status, body.code, reasonIn(body)]).toEqual([400, "invalid_argument", reason]);
    expect(body.message).toMatch(message);
  });

  it.each([
    {
      what: "for a channel of others",
      channel: () => bystanders.channelId,
      reason: "NOT_A_MEMBER",
    },
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
    const request = { channelId: bystanders.channelId, clientMessageId: id, text: "hello" };
    const { accessToken } = bystanders.ann.signIn;
    const { status, body } = await post(`${messageService}/SendMessage`, request, { accessToken });
    expect([status, reasonIn(body)]).toEqual([400, "CLIENT_MESSAGE_ID_INVALID"]);
  });

  it("[M5] sent again under its client id has the first result, and another text under it is refused", async () => {
    const { accessToken } = bystanders.ann.signIn;
    const request = {
      channelId: bystanders.channelId,
      clientMessageId: clientMessageId(),
      text: "one",
    };
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
    const changed = { ...JSON.parse(atob(claims)), sub: bystanders.ann.userId };
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

describe("an HTTP request", () => {
  it.each([
    { what: "with no JSON", body: "{", status: 400 },
    { what: "with a field of another type", body: '{"pageSize":"many"}', status: 400 },
    { what: "with a body over the limit", body: " ".repeat(1_536 * 1_024 + 1), status: 413 },
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
    const response = await get(`${parley.nextUrl()}/healthz`, { x: "x".repeat(1_000_000) });
    expect(response.statusCode).toBe(431);
  });
});
