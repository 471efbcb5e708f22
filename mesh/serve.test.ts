import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { IdGenService } from "../gen/parley/idgen/v1/idgen_service_pb.js";
import {
  LinkRequestSchema,
  type LinkResponse,
  MessageService,
} from "../gen/parley/message/v1/message_service_pb.js";
import { type Clock, systemClock } from "./clock.ts";
import { type DialOptions, dial } from "./dial.ts";
import { Code, DomainError, fieldInvalid, type RpcError } from "./errors.ts";
import { silentLogger } from "./logger.ts";
import { Metrics } from "./metrics.ts";
import { LocalRegistry } from "./registry-local.ts";
import type { Handlers, Identity } from "./rpc.ts";
import { type GrpcServer, serve, served } from "./serve.ts";

const base = {
  clock: systemClock,
  log: silentLogger,
  metrics: new Metrics(),
  meshSecret: "s3cret",
};

describe("serve and dial", () => {
  const registry = new LocalRegistry();
  const mesh = dial({ ...base, registry });
  const servers: GrpcServer[] = [];
  let calls = 0;
  let failures = 0;
  let lastIdentity: Identity | undefined;

  async function startIdGen(instanceId: string): Promise<void> {
    const server = await serve({
      ...base,
      host: "127.0.0.1",
      port: 0,
      services: [
        served(
          IdGenService,
          {
            reserveIds: async (request, context) => {
              calls++;
              lastIdentity = context.identity;
              if (failures > 0) {
                failures--;
                throw new DomainError("CLOCK_BEHIND", "the clock is behind", { retryAfterMs: 70 });
              }
              if (request.count === 0) throw fieldInvalid("count", "0, must be 1 to 65536");
              if (request.count === 13) throw new Error("the secret cause");
              if (request.count === 14) await new Promise((resolve) => setTimeout(resolve, 500));
              return { ranges: [{ firstId: BigInt(request.count), count: 1 }] };
            },
          },
          { CLOCK_BEHIND: Code.UNAVAILABLE },
        ),
      ],
    });
    servers.push(server);
    const { typeName } = IdGenService;
    await registry.register({
      instanceId,
      service: typeName,
      address: server.address,
      metadata: {},
    });
  }

  beforeAll(async () => {
    await startIdGen("idgen-a");
    await startIdGen("idgen-b");
  });
  afterAll(async () => {
    await mesh.close();
    for (const server of servers) await server.drain(100);
  });

  const reserve = (count: number, options = {}) =>
    mesh.client(IdGenService).reserveIds({ count, greaterThan: 0n }, options);
  const failure = (promise: Promise<unknown>) =>
    promise.then(
      () => expect.fail("the call should have failed"),
      (error: RpcError) => error,
    );

  it("carries a request, the caller's identity and the response", async () => {
    const identity = { userId: "user1", deviceId: "device1" };
    const response = await reserve(7, { identity });
    expect(response.ranges[0]?.firstId).toBe(7n);
    expect(lastIdentity).toEqual(identity);
  });

  it("[R1] carries reason, fields and retry hint of an error, and nothing of a bug's cause", async () => {
    const invalid = await failure(reserve(0));
    expect(invalid).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: "FIELD_INVALID" });
    expect(invalid.details.fieldViolations?.[0]?.field).toBe("count");
    const bug = await failure(reserve(13));
    expect(bug).toMatchObject({ code: Code.INTERNAL, message: "internal error" });
    expect(JSON.stringify(bug)).not.toContain("secret cause");
  });

  it("[R1] tries an idempotent call again on UNAVAILABLE, at most three times", async () => {
    calls = 0;
    failures = 2;
    expect((await reserve(5)).ranges[0]?.firstId).toBe(5n);
    expect(calls).toBe(3);
    failures = 3;
    const error = await failure(reserve(5));
    expect(error).toMatchObject({ reason: "CLOCK_BEHIND", details: { retryAfterMs: 70 } });
    failures = 0;
  });

  it("[R1] gives up at the deadline", async () => {
    const error = await failure(reserve(14, { timeoutMs: 50 }));
    expect(error.code).toBe(Code.DEADLINE_EXCEEDED);
  });

  it("[R1] does not break with an instance that says itself that something is away", async () => {
    failures = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 10; i++) expect((await failure(reserve(5))).reason).toBe("CLOCK_BEHIND");
    failures = 0;
    await reserve(5);
  });

  it("[R1] does not break with an instance because of callers who are in a hurry", async () => {
    for (let i = 0; i < 10; i++) {
      const error = await failure(reserve(14, { timeoutMs: 1 }));
      expect(error.code).toBe(Code.DEADLINE_EXCEEDED);
    }
    await reserve(5);
  });

  it("[D3] goes to another instance at once when one has gone", async () => {
    await startIdGen("idgen-c");
    const gone = servers.pop()!;
    await gone.drain(50);
    for (let i = 0; i < 10; i++) await reserve(3);
  });

  it("[D3] [R1] goes to another instance where one has gone since it was picked", async () => {
    const own = new LocalRegistry();
    const { typeName: service } = IdGenService;
    const leaving = { instanceId: "idgen-l", service, address: servers[0]!.address, metadata: {} };
    const registration = await own.register(leaving);
    let isPicked = false;
    const clock: Clock = {
      ...systemClock,
      // The last that a call asks before it is made.
      nowMs() {
        if (isPicked) void registration.deregister();
        return systemClock.nowMs();
      },
    };
    const caller = dial({ ...base, clock, registry: own });
    const client = caller.client(IdGenService);
    await client.reserveIds({ count: 3 });
    isPicked = true;
    const error = await failure(client.reserveIds({ count: 3 }));
    expect(error).toMatchObject({
      code: Code.UNAVAILABLE,
      message: expect.stringContaining("no instance"),
    });
    await caller.close();
  });

  it("[R1] stops asking an instance that can't be reached", async () => {
    const alone = new LocalRegistry();
    const lost = dial({ ...base, registry: alone });
    const { typeName } = IdGenService;
    const nowhere = { instanceId: "idgen-x", service: typeName, address: "127.0.0.1:1" };
    await alone.register({ ...nowhere, metadata: {} });
    const texts: string[] = [];
    for (let i = 0; i < 3; i++) {
      texts.push((await failure(lost.client(IdGenService).reserveIds({ count: 1 }))).message);
    }
    expect(texts.at(-1)).toContain("keeps failing");
    await lost.close();
  });

  it("refuses a call that is not signed by this mesh", async () => {
    const other: DialOptions = { ...base, registry, meshSecret: "another" };
    const stranger = dial(other);
    const error = await failure(stranger.client(IdGenService).reserveIds({ count: 1 }));
    expect(error).toMatchObject({ code: Code.UNAUTHENTICATED, reason: "TOKEN_INVALID" });
    await stranger.close();
  });

  it("[D2] knows whom a client is for before the first call, should the registry go away", async () => {
    const asked: string[] = [];
    const watched = new LocalRegistry();
    const watch: LocalRegistry["watch"] = (service, onChange) => {
      asked.push(service);
      return watched.watch(service, onChange);
    };
    const early = dial({ ...base, registry: { register: (one) => watched.register(one), watch } });
    early.client(IdGenService);
    expect(asked).toEqual([IdGenService.typeName]);
    await early.close();
  });

  it("answers UNAVAILABLE where no instance is known", async () => {
    const lonely = dial({ ...base, registry: new LocalRegistry() });
    const error = await failure(lonely.client(IdGenService).reserveIds({ count: 1 }));
    expect(error).toMatchObject({ code: Code.UNAVAILABLE });
    await lonely.close();
  });

  it("carries a stream both ways and tells both sides of its end", async () => {
    let serverClosed = false;
    const handlers = {
      link: (stream) => {
        stream.onMessage = ({ sends }) =>
          stream.write({ results: sends.map(({ linkId }) => ({ linkId })) });
        stream.onClose = () => {
          serverClosed = true;
        };
      },
    } as Partial<Handlers<typeof MessageService>> as Handlers<typeof MessageService>;
    const services = [served(MessageService, handlers, {})];
    const server = await serve({ ...base, host: "127.0.0.1", port: 0, services });
    const { typeName } = MessageService;
    const instanceId = "message-a";
    await registry.register({
      instanceId,
      service: typeName,
      address: server.address,
      metadata: {},
    });
    await new Promise<void>((resolve) =>
      mesh.watchInstances(MessageService, (ids) => ids.length && resolve()),
    );
    const stream = mesh.openStream(MessageService.method.link, instanceId);
    const response = new Promise<LinkResponse>((resolve) => {
      stream.onMessage = resolve;
    });
    stream.write(create(LinkRequestSchema, { sends: [{ linkId: 1 }, { linkId: 2 }] }));
    expect((await response).results.map(({ linkId }) => linkId)).toEqual([1, 2]);
    const closed = new Promise<Error | undefined>((resolve) => {
      stream.onClose = resolve;
    });
    await server.drain(50);
    expect(await closed).toBeDefined();
    expect(serverClosed).toBe(true);
  });
});
