import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "./clock.ts";
import { ManualClock } from "./clock-manual.ts";
import { ConsulClient, ConsulError } from "./consul-client.ts";

/** What the server at the other end does with a request. */
let respond: (request: IncomingMessage, response: ServerResponse) => void;
const server = createServer((request, response) => respond(request, response));
let url: string;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const token = "0c1d9a3e-secret";
const client = (clock = systemClock) => new ConsulClient({ url, token, clock });
const answer = (status: number, body: string, headers: Record<string, string> = {}) => {
  respond = (_, response) => response.writeHead(status, headers).end(body);
};
const query = () => ({ index: 7, waitMs: 1_000, signal: new AbortController().signal });
const failure = async (call: Promise<unknown>): Promise<ConsulError> => {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConsulError);
  return error as ConsulError;
};

describe("ConsulClient", () => {
  it("asks for a service by its index, and answers the instances and the next one", async () => {
    const service = { ID: "edge-1", Address: "", Port: 80, Meta: null };
    const body = JSON.stringify([{ Node: { Address: "10.0.0.1" }, Service: service, Checks: [] }]);
    let path = "";
    respond = (request, response) => {
      path = request.url!;
      response.writeHead(200, { "X-Consul-Index": "9" }).end(body);
    };
    expect(await client().healthyServices("parley.edge", query())).toEqual({
      index: 9,
      services: [{ id: "edge-1", address: "10.0.0.1", port: 80, metadata: {} }],
    });
    expect(path).toBe("/v1/health/service/parley.edge?passing=true&stale=true&index=7&wait=1000ms");
  });

  it("[O2] sends its token, and no error names it", async () => {
    const seen: unknown[] = [];
    respond = (request, response) => {
      seen.push(request.headers["x-consul-token"]);
      response.writeHead(403).end("Permission denied");
    };
    const error = await failure(client().getEntry("a/b c"));
    expect(seen).toEqual([token]);
    expect(error.status).toBe(403);
    expect(error.message).toBe(
      `Consul ${url}: GET /v1/kv/a/b%20c: status 403 (Permission denied), expected 200 or 404`,
    );
  });

  it("a key that is not there is no error", async () => {
    answer(404, "");
    expect(await client().getEntry("a")).toBeUndefined();
    expect(await client().listEntries("a")).toEqual([]);
  });

  it.each([
    ["no JSON", "<html>", /the body: /],
    ["no list", "{}", /the body: /],
    ["a wrong field", '[{"Key":"a","Value":"dg==","ModifyIndex":"9"}]', /0\.ModifyIndex: /],
    ["a value that is no base64", '[{"Key":"a","Value":"?","ModifyIndex":9}]', /0\.Value: /],
  ])("an answer that is %s is an error that says where", async (_, body, message) => {
    answer(200, body);
    expect((await failure(client().getEntry("a"))).message).toMatch(message);
  });

  it.each([
    ["", '""'],
    ["-1", '"-1"'],
    ["soon", '"soon"'],
  ])("the index %j is an error", async (index, named) => {
    answer(200, "[]", index ? { "X-Consul-Index": index } : {});
    const { message } = await failure(client().healthyServices("parley.edge", query()));
    expect(message).toMatch(`X-Consul-Index is ${named}, not a number`);
  });

  it("[D2] an empty list of what the token may not see is an error", async () => {
    answer(200, "[]", { "X-Consul-Index": "9", "X-Consul-Results-Filtered-By-ACLs": "true" });
    const { message } = await failure(client().healthyServices("parley.edge", query()));
    expect(message).toMatch("the ACL token may not read all of it");
  });

  it("an answer without an end is given up at its limit", async () => {
    const megabyte = Buffer.alloc(1024 * 1024, 32);
    respond = (_, response) => {
      const write = () => {
        while (!response.destroyed && response.write(megabyte));
      };
      response.on("drain", write);
      write();
    };
    expect((await failure(client().listEntries("a"))).message).toMatch("more than 16777216 bytes");
  });

  it("[R1] no answer is an error after the timeout, a blocking query's after its wait too", async () => {
    const clock = new ManualClock();
    const asked = () =>
      new Promise<void>((resolve) => {
        respond = () => resolve();
      });
    let arrived = asked();
    const plain = failure(client(clock).getEntry("a"));
    await arrived;
    clock.advance(5_000);
    expect((await plain).message).toMatch("no answer within 5000 ms");
    expect((await plain).status).toBeUndefined();

    arrived = asked();
    let ended = false;
    const blocking = failure(
      client(clock)
        .healthyServices("parley.edge", { ...query(), waitMs: 32_000 })
        .finally(() => {
          ended = true;
        }),
    );
    await arrived;
    clock.advance(38_999);
    await new Promise(setImmediate);
    expect(ended).toBe(false);
    clock.advance(1);
    expect((await blocking).message).toMatch("no answer within 39000 ms");
    expect(clock.nextDueMs()).toBeUndefined();
  });

  it("an answer whose body stops in the middle is given up too", async () => {
    const clock = new ManualClock();
    const call = new Promise<void>((resolve) => {
      respond = (_, response) => {
        response.writeHead(200, { "content-length": "100" }).write("[", () => resolve());
      };
    });
    const broken = failure(client(clock).getEntry("a"));
    await call;
    clock.advance(5_000);
    expect((await broken).message).toMatch("no answer within 5000 ms");
  });

  it("[R1] a server that is not there is named with the reason", async () => {
    const away = new ConsulClient({ url: "http://127.0.0.1:4", clock: systemClock });
    expect((await failure(away.getEntry("a"))).message).toMatch(/127\.0\.0\.1:4: GET .*REFUSED/);
  });

  it("a query can be ended", async () => {
    const controller = new AbortController();
    respond = () => controller.abort();
    await failure(
      client().healthyServices("parley.edge", { ...query(), signal: controller.signal }),
    );
  });
});
