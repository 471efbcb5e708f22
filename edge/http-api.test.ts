import { once } from "node:events";
import { connect } from "node:net";
import { Code as ConnectCode, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { MessageService } from "../gen/parley/message/v1/message_service_pb.js";
import { Code, RpcError } from "../mesh/errors.ts";
import { EdgeFixture } from "./edge-fixture.ts";

const listChannels = "parley.message.v1.MessageService/ListChannels";
const logIn = "parley.session.v1.SessionService/LogIn";

function post(fixture: EdgeFixture, method: string, body: string, headers = {}): Promise<Response> {
  return fetch(`http://${fixture.edge.address}/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
  });
}

describe("the HTTP API", () => {
  it.each([
    { name: "Connect", transport: createConnectTransport },
    { name: "gRPC-Web", transport: createGrpcWebTransport },
  ])(
    "[H2] serves a public method over $name with the identity of the bearer token",
    async ({ transport }) => {
      await using fixture = await new EdgeFixture().start();
      fixture.answers.set(listChannels, () => ({ channels: [{ channelId: "g-1" }] }));
      const client = createClient(
        MessageService,
        transport({ baseUrl: `http://${fixture.edge.address}`, httpVersion: "1.1" }),
      );
      const headers = { authorization: "Bearer alice/alice-1" };
      const response = await client.listChannels({ pageSize: 3 }, { headers, timeoutMs: 2_000 });
      expect(response.channels[0]!.channelId).toBe("g-1");
      const [call] = fixture.calls;
      expect(call).toMatchObject({
        request: { pageSize: 3 },
        options: { identity: { userId: "alice" } },
      });
      expect(call!.options.timeoutMs).toBeLessThanOrEqual(2_000);
      const refused = await client.listChannels({}).catch((error) => ConnectError.from(error));
      expect(refused).toMatchObject({ code: ConnectCode.Unauthenticated });
    },
  );

  it("[A1] serves curl: JSON in, JSON out, and needs no token where none can be", async () => {
    await using fixture = await new EdgeFixture().start();
    fixture.answers.set(logIn, () => ({ deviceId: "alice-1" }));
    const response = await post(fixture, logIn, '{"login": "alice", "password": "secret"}');
    expect(await response.json()).toEqual({ deviceId: "alice-1" });
    expect(fixture.calls[0]!.options.identity).toBeUndefined();
    expect(fixture.calls[0]!.options.clientAddress).toContain("127.0.0.1");
  });

  it.each([
    { token: "", reason: "TOKEN_MISSING" },
    { token: "Basic alice/alice-1", reason: "TOKEN_MISSING" },
    { token: "Bearer forged", reason: "TOKEN_INVALID" },
    { token: "Bearer expired", reason: "TOKEN_EXPIRED" },
  ])("[A1] refuses the token '$token' with $reason", async ({ token, reason }) => {
    await using fixture = await new EdgeFixture().start();
    const response = await post(fixture, listChannels, "{}", { authorization: token });
    expect(response.status).toBe(401);
    expect(await response.text()).toContain(reason);
    expect(fixture.calls).toEqual([]);
  });

  it("tells what a service refused, with reason, fields and the time to wait", async () => {
    await using fixture = await new EdgeFixture().start();
    fixture.answers.set(logIn, () => {
      throw new RpcError(Code.INVALID_ARGUMENT, "FIELD_INVALID", "login: is empty", {
        fieldViolations: [{ field: "login", description: "is empty" }],
        retryAfterMs: 1_500,
      });
    });
    const response = await post(fixture, logIn, "{}");
    expect(response.status).toBe(400);
    expect(response.headers.get("retry-after")).toBe("2");
    const body = (await response.json()) as { code: string; message: string; details: unknown[] };
    expect(body).toMatchObject({ code: "invalid_argument", message: "login: is empty" });
    expect(body.details).toMatchObject([
      { type: ErrorInfoSchema.typeName },
      { type: "google.rpc.RequestInfo" },
      { type: BadRequestSchema.typeName },
      { type: "google.rpc.RetryInfo", debug: { retryDelay: "1.500s" } },
    ]);
  });

  it.each([
    { name: "an unknown method", path: "parley.X/Y", status: 404 },
    {
      name: "a method for services",
      path: "parley.presence.v1.PresenceService/GetOwnedPresence",
      status: 404,
    },
    { name: "a body that is no JSON", path: logIn, body: "{", status: 400 },
    { name: "a body over the limit", path: logIn, body: "x".repeat(1_600_000), status: 413 },
  ])("answers $name with $status and lives", async ({ path, body, status }) => {
    await using fixture = await new EdgeFixture().start();
    const response = await post(fixture, path, body ?? "{}");
    expect(response.status).toBe(status);
    expect((await fetch(`http://${fixture.edge.address}/healthz`)).status).toBe(200);
  });

  it("[R1] refuses what exceeds the calls that may be under way", async () => {
    await using fixture = await new EdgeFixture({ httpCallsMax: 2 }).start();
    const answers: (() => void)[] = [];
    fixture.answers.set(logIn, () => new Promise<void>((resolve) => answers.push(resolve)));
    const waiting = [post(fixture, logIn, "{}"), post(fixture, logIn, "{}")];
    await expect.poll(() => answers.length).toBe(2);
    const refused = await post(fixture, logIn, "{}");
    expect(refused.status).toBe(429);
    expect(await refused.text()).toContain("resource_exhausted");
    for (const answer of answers) answer();
    for (const response of await Promise.all(waiting)) expect(response.status).toBe(200);
  });

  it("[O3] leaves room for others when one address has all the calls that it may have", async () => {
    const limits = { httpCallsPerAddressMax: 2, forwardedHops: 1 };
    await using fixture = await new EdgeFixture(limits).start();
    const answers: (() => void)[] = [];
    fixture.answers.set(logIn, () => new Promise<void>((resolve) => answers.push(resolve)));
    const from = (address?: string) =>
      post(fixture, logIn, "{}", address === undefined ? {} : { "x-forwarded-for": address });
    const waiting = [from("192.0.2.1"), from("192.0.2.1")];
    await expect.poll(() => answers.length).toBe(2);
    const refused = await from("192.0.2.1");
    expect(refused.status).toBe(429);
    expect(await refused.text()).toContain("2 calls of this address are under way");
    waiting.push(from("192.0.2.2"), from(), from(), from());
    await expect.poll(() => answers.length).toBe(6);
    for (const answer of answers) answer();
    for (const response of await Promise.all(waiting)) expect(response.status).toBe(200);
    fixture.answers.delete(logIn);
    expect((await from("192.0.2.1")).status).toBe(200);
  });

  it("survives a client that breaks off in the middle of a request", async () => {
    await using fixture = await new EdgeFixture().start();
    const [host, port] = fixture.edge.address.split(":");
    const socket = connect(Number(port), host);
    socket.write(`POST /${logIn} HTTP/1.1\r\nHost: edge\r\nContent-Length: 1000\r\n`);
    socket.write("Content-Type: application/json\r\n\r\n{");
    await once(socket, "ready");
    socket.destroy();
    expect((await post(fixture, logIn, "{}")).status).toBe(200);
  });
});
