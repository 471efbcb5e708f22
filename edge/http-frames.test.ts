import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { SendMessageResponseSchema } from "../gen/parley/message/v1/message_service_pb.js";
import { EdgeFixture } from "./edge-fixture.ts";

const headers = { authorization: "Bearer alice/alice-1" };
const listChannels = "parley.message.v1.MessageService/ListChannels";

function post(fixture: EdgeFixture, frames: unknown, authorized: Record<string, string> = headers) {
  const body = typeof frames === "string" ? frames : JSON.stringify({ frames });
  const init = { method: "POST", headers: authorized, body };
  return fetch(`http://${fixture.edge.address}/v1/frames`, init);
}

describe("[T2] a post of frames", () => {
  it("is answered a line for each call, send and heartbeat, without a stream or poll of its device", async () => {
    await using fixture = await new EdgeFixture().start();
    fixture.answers.set(listChannels, () => ({ nextPageToken: "more" }));
    const response = await post(fixture, [
      { call: { requestId: 1, method: listChannels, json: '{"pageSize": 3}' } },
      { send: { requestId: 2, request: { channelId: "g-1", clientMessageId: "c", text: "hi" } } },
      { heartbeat: {} },
      { ack: { inboxSequence: "3", curMaxMessageId: "9" } },
    ]);
    const lines = (await response.text()).trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual(
      expect.arrayContaining([
        { result: { requestId: 1, json: '{"nextPageToken":"more"}' } },
        { sendResult: { requestId: 2, response: { channelSequence: 1 } } },
        { heartbeatResult: {} },
      ]),
    );
    expect(lines).toHaveLength(3);
    expect(fixture.sends).toMatchObject([{ userId: "alice" }]);
    expect(fixture.calls[0]).toMatchObject({
      request: { pageSize: 3 },
      options: { identity: { deviceId: "alice-1" } },
    });
    await fixture.pass(3_000);
    expect(fixture.marked).toMatchObject([{ deviceId: "alice-1", cursor: { inboxSequence: 3n } }]);
  });

  it("gives each answer as soon as it is there", async () => {
    await using fixture = await new EdgeFixture().start();
    fixture.holdsSends = true;
    const send = { request: { channelId: "g-1", clientMessageId: "c-1", text: "hi" } };
    const response = await post(fixture, [
      { send: { ...send, requestId: 1 } },
      { send: { ...send, requestId: 2 } },
      { heartbeat: {} },
    ]);
    const reader = response.body!.getReader();
    const next = async () => Buffer.from((await reader.read()).value ?? []).toString();
    expect(await next()).toBe('{"heartbeatResult":{}}\n');
    const accepted = create(SendMessageResponseSchema, { channelSequence: 1 });
    fixture.sends[1]!.done(accepted);
    expect(await next()).toContain('"requestId":2');
    fixture.sends[0]!.done(accepted);
    expect(await next()).toContain('"requestId":1');
    expect(await next()).toBe("");
  });

  it("of nothing is answered with nothing", async () => {
    await using fixture = await new EdgeFixture().start();
    expect(await (await post(fixture, [])).text()).toBe("");
    expect(await (await post(fixture, "")).text()).toBe("");
  });

  it.each([
    { what: "no token", frames: [], token: "", status: 401, reason: "TOKEN_MISSING" },
    { what: "an old token", frames: [], token: "expired", status: 401, reason: "TOKEN_EXPIRED" },
    { what: "no keys for it", frames: [], token: "away", status: 503, reason: "UNAVAILABLE" },
    { what: "no JSON", frames: "{", status: 400, reason: "FIELD_INVALID" },
    { what: "a hello", frames: [{ hello: {} }], status: 400, reason: "FIELD_INVALID" },
    { what: "an empty frame", frames: [{}], status: 400, reason: "FIELD_INVALID" },
    {
      what: "a bad ack",
      frames: [{ ack: { inboxSequence: "-1" } }],
      status: 400,
      reason: "FIELD_INVALID",
    },
    {
      what: "257 frames",
      frames: Array.from({ length: 257 }, () => ({ heartbeat: {} })),
      status: 400,
      reason: "FIELD_INVALID",
    },
    {
      what: "1.5 MB and more",
      frames: " ".repeat(1_572_865),
      status: 413,
      reason: "BODY_TOO_LARGE",
    },
  ])("with $what is refused as a whole: $status", async ({ frames, token, status, reason }) => {
    await using fixture = await new EdgeFixture().start();
    const authorization = `Bearer ${token ?? "alice/alice-1"}`;
    const response = await post(fixture, frames, { authorization });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ reason });
  });

  it("is refused where too many requests are under way", async () => {
    await using fixture = await new EdgeFixture({ httpCallsMax: 1 }).start();
    fixture.holdsSends = true;
    const request = { channelId: "g-1", clientMessageId: "c-1", text: "hi" };
    const waiting = post(fixture, [{ heartbeat: {} }, { send: { requestId: 1, request } }]);
    await waiting;
    const refused = await post(fixture, []);
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({ reason: "OVERLOADED", retry_after_ms: 500 });
    fixture.sends[0]!.done(create(SendMessageResponseSchema, { channelSequence: 1 }));
    await (await waiting).text();
  });

  it("has no more unanswered at once than a connection may", async () => {
    await using fixture = await new EdgeFixture({ callsMax: 2 }).start();
    fixture.answers.set(listChannels, () => new Promise((resolve) => setImmediate(resolve)));
    const calls = [1, 2, 3].map((requestId) => ({ call: { requestId, method: listChannels } }));
    const text = await (await post(fixture, calls)).text();
    expect(text.match(/OVERLOADED/g)).toHaveLength(1);
    expect(text.trimEnd().split("\n")).toHaveLength(3);
  });
});
