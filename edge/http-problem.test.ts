import { once } from "node:events";
import { connect } from "node:net";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { ErrorInfoSchema, RequestInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { SessionService } from "../gen/parley/session/v1/session_service_pb.js";
import { EdgeFixture } from "./edge-fixture.ts";

const logIn = "/parley.session.v1.SessionService/LogIn";
const json = { "content-type": "application/json" };
const token = { authorization: "Bearer alice/alice-1" };
const long = "x".repeat(1_600_000);

describe("[O3] an HTTP request that fails", () => {
  it.each<{ what: string; path: string; init?: RequestInit; status: number; reason: string }>([
    { what: "an unknown path", path: "/nowhere", status: 404, reason: "PATH_UNKNOWN" },
    {
      what: "GET of what has effects",
      path: logIn,
      status: 405,
      reason: "HTTP_METHOD_NOT_ALLOWED",
    },
    {
      what: "a form",
      path: logIn,
      init: { method: "POST", body: new URLSearchParams({ login: "alice" }) },
      status: 415,
      reason: "MEDIA_TYPE_UNSUPPORTED",
    },
    {
      what: "a body that is too large",
      path: logIn,
      init: { method: "POST", headers: json, body: long },
      status: 413,
      reason: "BODY_TOO_LARGE",
    },
    {
      what: "frames that are too large",
      path: "/v1/frames",
      init: { method: "POST", headers: token, body: long },
      status: 413,
      reason: "BODY_TOO_LARGE",
    },
    {
      what: "a post without a token",
      path: "/v1/frames",
      init: { method: "POST" },
      status: 401,
      reason: "TOKEN_MISSING",
    },
    {
      what: "an event stream without a token",
      path: "/v1/events",
      status: 401,
      reason: "TOKEN_INVALID",
    },
    { what: "a poll without a token", path: "/v1/poll", status: 401, reason: "TOKEN_INVALID" },
  ])("($what) has $status in problem details", async ({ path, init, status, reason }) => {
    await using fixture = await new EdgeFixture().start();
    const response = await fetch(`http://${fixture.edge.address}${path}`, init);
    expect(response.status).toBe(status);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    const requestId = response.headers.get("x-request-id");
    expect(requestId).toMatch(/^[0-9a-f-]{36}$/);
    expect(await response.json()).toMatchObject({
      type: "about:blank",
      title: expect.any(String),
      status,
      detail: expect.any(String),
      reason,
      request_id: requestId,
    });
    if (status === 401) expect(response.headers.get("www-authenticate")).toBe("Bearer");
    if (status === 405) expect(response.headers.get("allow")).toBe("POST");
    if (status === 415) expect(response.headers.get("accept-post")).toContain("application/json");
  });

  it.each([
    { given: "order-66:a.b_c", taken: true },
    { given: "x".repeat(128), taken: true },
    { given: "x".repeat(129), taken: false },
    { given: "two words", taken: false },
    { given: "", taken: false },
  ])("keeps the caller's id where it is valid: '$given'", async ({ given, taken }) => {
    await using fixture = await new EdgeFixture().start();
    const headers = { "x-request-id": given };
    const response = await fetch(`http://${fixture.edge.address}/nowhere`, { headers });
    expect(response.headers.get("x-request-id") === given).toBe(taken);
  });

  it.each([
    {
      what: "a body that is no JSON",
      body: "{",
      path: logIn,
      reason: "FIELD_INVALID",
      status: 400,
    },
    {
      what: "no token",
      path: logIn.replace("LogIn", "LogOut"),
      reason: "TOKEN_MISSING",
      status: 401,
    },
    {
      what: "a body of unknown length",
      path: logIn,
      body: chunks(),
      reason: "BODY_TOO_LARGE",
      status: 429,
    },
    {
      what: "an unknown compression",
      path: logIn,
      headers: { "content-encoding": "zip" },
      reason: "ENCODING_UNKNOWN",
      status: 501,
    },
  ])("as a call has reason and request id in Connect's error: $what", async (call) => {
    await using fixture = await new EdgeFixture().start();
    const headers = { ...json, ...call.headers, "x-request-id": "r-1" };
    const init = { method: "POST", headers, body: call.body ?? "{}", duplex: "half" };
    const response = await fetch(`http://${fixture.edge.address}${call.path}`, init as RequestInit);
    expect(response.status).toBe(call.status);
    expect(response.headers.get("x-request-id")).toBe("r-1");
    expect(await response.json()).toMatchObject({
      details: [
        { type: "google.rpc.ErrorInfo", debug: { reason: call.reason } },
        { type: "google.rpc.RequestInfo", debug: { requestId: "r-1" } },
      ],
    });
  });

  it("as a call over gRPC-Web has them in the details of its status", async () => {
    await using fixture = await new EdgeFixture().start();
    const baseUrl = `http://${fixture.edge.address}`;
    const transport = createGrpcWebTransport({ baseUrl, httpVersion: "1.1" });
    const headers = { "x-request-id": "r-1" };
    const call = createClient(SessionService, transport).logOut({}, { headers });
    const error = ConnectError.from(await call.catch((reason: unknown) => reason));
    expect(error.findDetails(ErrorInfoSchema)[0]?.reason).toBe("TOKEN_MISSING");
    expect(error.findDetails(RequestInfoSchema)[0]?.requestId).toBe("r-1");
  });

  it("is refused in the same words as a WebSocket, and where it can't be read", async () => {
    await using fixture = await new EdgeFixture().start();
    const upgrade =
      "GET /elsewhere HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket";
    const refused = await say(fixture, `${upgrade}\r\nX-Request-Id: r-1\r\n\r\n`);
    expect(refused).toMatchObject({ status: 404, reason: "PATH_UNKNOWN", request_id: "r-1" });
    expect(await say(fixture, "hello\r\n\r\n")).toMatchObject({
      status: 400,
      reason: "REQUEST_INVALID",
      request_id: expect.any(String),
    });
    const huge = `GET / HTTP/1.1\r\nX: ${"x".repeat(20_000)}\r\n\r\n`;
    expect(await say(fixture, huge)).toMatchObject({ status: 431, reason: "HEADERS_TOO_LARGE" });
  });

  it("is answered 503 in problem details by the health check of an edge that drains", async () => {
    await using fixture = await new EdgeFixture().start();
    await fixture.edge.drain();
    const response = await fetch(`http://${fixture.edge.address}/healthz`);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ reason: "NOT_READY" });
  });
});

/** A body that does not say how long it is. */
function chunks(): ReadableStream<Uint8Array> {
  return new Blob([long]).stream();
}

/** Sends bytes as they are; resolves with the problem that is answered. */
async function say(fixture: EdgeFixture, text: string): Promise<unknown> {
  const [host, port] = fixture.edge.address.split(":");
  const socket = connect(Number(port), host);
  let answer = "";
  socket.on("data", (chunk) => {
    answer += chunk;
  });
  socket.write(text);
  await once(socket, "close");
  return JSON.parse(answer.slice(answer.indexOf("\r\n\r\n")));
}
