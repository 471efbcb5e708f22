/** Callers from outside the mesh, with access tokens of their own, over real connections. */
import {
  create,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { IdGenService } from "../gen/parley/idgen/v1/idgen_service_pb.js";
import { RevocationSchema } from "../gen/parley/log/v1/log_pb.js";
import type { InboxCaughtUp } from "../gen/parley/message/v1/inbox_pb.js";
import {
  type FollowResponse,
  MessageService,
} from "../gen/parley/message/v1/message_service_pb.js";
import { SessionService } from "../gen/parley/session/v1/session_service_pb.js";
import { signAccessToken } from "./access-token.ts";
import { AccessTokenChecks, sessionVerifier } from "./access-token-checks.ts";
import { ManualClock } from "./clock-manual.ts";
import { Code, type RpcError } from "./errors.ts";
import { Faults } from "./faults.ts";
import type { DeviceId, UserId } from "./ids.ts";
import { silentLogger } from "./logger.ts";
import { methodDefinition } from "./method-definition.ts";
import { Metrics } from "./metrics.ts";
import type { CallContext, Handlers, Mesh, ResponseStream } from "./rpc.ts";
import { type GrpcServer, serve, served } from "./serve.ts";
import { errorFromStatus } from "./status-details.ts";
import type { Streams } from "./streams.ts";
import { type StreamFault, withFaults } from "./streams-faults.ts";
import { openMemoryStreams } from "./streams-memory.ts";

const userId = "user000000000001" as UserId;
const deviceId = "device0000000001" as DeviceId;
const { sendMessage, getDeviceCursor, listChannels, follow, link } = MessageService.method;

let ourKey: CryptoKeyPair;
let otherKey: CryptoKeyPair;
let publicKey: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  const newKey = async () =>
    (await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as CryptoKeyPair;
  [ourKey, otherKey] = [await newKey(), await newKey()];
  publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", ourKey.publicKey));
});

describe("a caller from outside the mesh", () => {
  let clock: ManualClock;
  let streams: Streams;
  let tokens: AccessTokenChecks;
  let server: GrpcServer;
  let client: grpc.Client;
  let contexts: CallContext[];
  /** Sends that wait for this. */
  let gate: Promise<void>;
  let responses: ResponseStream<MessageInitShape<(typeof follow)["output"]>>[];
  let closed: number;

  beforeEach(async () => {
    clock = new ManualClock();
    streams = openMemoryStreams({ clock });
    const sessions = { listSigningKeys: async () => ({ keys: [{ keyId: "k", publicKey }] }) };
    const mesh = { client: () => sessions } as unknown as Mesh;
    tokens = new AccessTokenChecks({
      verifier: sessionVerifier(mesh, clock),
      streams,
      clock,
      log: silentLogger,
    });
    await tokens.start();
    await start(tokens);
  });
  afterEach(async () => {
    client.close();
    tokens.stop();
    const drained = server.drain(50);
    clock.advance(10_000);
    await drained;
  });

  async function start(checks: AccessTokenChecks | undefined): Promise<void> {
    contexts = [];
    gate = Promise.resolve();
    responses = [];
    closed = 0;
    const messages = {
      async sendMessage(_request, context) {
        contexts.push(context);
        await gate;
        return { messageId: 7n };
      },
      async getDeviceCursor(_request, context) {
        contexts.push(context);
        return {};
      },
      async follow(_request, stream, context) {
        contexts.push(context);
        responses.push(stream);
        stream.onClose = () => closed++;
      },
      link: () => expect.fail("a link from outside"),
    } as Partial<Handlers<typeof MessageService>> as Handlers<typeof MessageService>;
    const sessions = {
      logIn: async () => ({ deviceId }),
    } as Partial<Handlers<typeof SessionService>> as Handlers<typeof SessionService>;
    const ids: Handlers<typeof IdGenService> = { reserveIds: () => expect.fail("from outside") };
    server = await serve({
      host: "127.0.0.1",
      port: 0,
      services: [
        served(MessageService, messages, {}),
        served(SessionService, sessions, {}),
        served(IdGenService, ids, {}),
      ],
      meshSecret: "s3cret",
      tokens: checks,
      clock,
      log: silentLogger,
      metrics: new Metrics(),
    });
    client = new grpc.Client(server.address, grpc.credentials.createInsecure());
  }

  function token(lifeMs = 900_000, key = ourKey): Promise<string> {
    const nowMs = clock.nowMs();
    return signAccessToken(
      { keyId: "k", privateKey: key.privateKey },
      { userId, deviceId, issueTimeMs: nowMs, expireTimeMs: nowMs + lifeMs },
    );
  }

  function metadata(entries: Record<string, string>): grpc.Metadata {
    const made = new grpc.Metadata();
    for (const [key, value] of Object.entries(entries)) made.set(key, value);
    return made;
  }
  const bearing = (accessToken: string) => ({ authorization: `Bearer ${accessToken}` });

  /** Rejects with an RpcError. */
  function call<M extends DescMethodUnary>(
    method: M,
    entries: Record<string, string>,
    request: MessageInitShape<M["input"]> = {} as never,
  ): Promise<MessageShape<M["output"]>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        create<DescMethodUnary["input"]>(method.input, request),
        metadata(entries),
        (error, response) =>
          error
            ? reject(errorFromStatus(error.code, error.details, error.metadata))
            : resolve(response as MessageShape<M["output"]>),
      );
    });
  }

  function open(method: DescMethodServerStreaming, entries: Record<string, string>) {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const stream = client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      create(method.input),
      metadata(entries),
    );
    const ended = new Promise<RpcError>((resolve) => {
      stream.once("error", ((error: grpc.ServiceError) =>
        resolve(errorFromStatus(error.code, error.details, error.metadata))) as never);
    });
    return { stream, ended };
  }

  /** Follow it with `clock.advance` for as long as it takes: a read of revocations is under way. */
  async function revoke(): Promise<void> {
    const issuedBeforeMs = BigInt(clock.nowMs() + 60_000);
    const revocation = create(RevocationSchema, { userId, deviceId, issuedBeforeMs });
    await streams.revocations.append("revocation", toBinary(RevocationSchema, revocation));
  }

  describe("[K2] with an access token", () => {
    it("calls public methods as the device that the token names", async () => {
      const { messageId } = await call(sendMessage, bearing(await token()));
      expect(messageId).toBe(7n);
      expect(contexts[0]!.identity).toEqual({ userId, deviceId });
    });

    it("is not believed what only the mesh may say, and waits no longer than the contract", async () => {
      const claims = { "parley-client-address": "10.9.8.7", traceparent: "00-ab-cd-01" };
      await call(sendMessage, { ...bearing(await token()), ...claims });
      expect(contexts[0]).toMatchObject({ clientAddress: "127.0.0.1", traceParent: "" });
      expect(contexts[0]!.deadlineMs).toBe(clock.nowMs() + 10_000);
    });

    it("is refused by methods that are for services, streams among them", async () => {
      const refused = { code: Code.PERMISSION_DENIED, reason: "METHOD_INTERNAL" };
      const accessToken = bearing(await token());
      await expect(call(IdGenService.method.reserveIds, accessToken)).rejects.toMatchObject(
        refused,
      );
      const { listSigningKeys } = SessionService.method;
      await expect(call(listSigningKeys, accessToken)).rejects.toMatchObject(refused);
      const { path, requestSerialize, responseDeserialize } = methodDefinition(link);
      const links = client.makeBidiStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        metadata(accessToken),
      );
      const error = await new Promise<grpc.ServiceError>((resolve) => links.once("error", resolve));
      expect(errorFromStatus(error.code, error.details, error.metadata)).toMatchObject(refused);
    });

    it("is refused with the reason that an edge would give", async () => {
      const expired = await token(60_000);
      clock.advance(70_000);
      const forged = await token(900_000, otherKey);
      for (const [entries, reason] of [
        [{}, "TOKEN_MISSING"],
        [{ authorization: `Basic ${await token()}` }, "TOKEN_MISSING"],
        [bearing("x".repeat(10_000)), "TOKEN_MISSING"],
        [bearing("nonsense"), "TOKEN_INVALID"],
        [bearing(forged), "TOKEN_INVALID"],
        [bearing(expired), "TOKEN_EXPIRED"],
        [{ ...bearing(await token()), "parley-mesh": "1.u.d.forged" }, "TOKEN_INVALID"],
      ] as const) {
        const refused = { code: Code.UNAUTHENTICATED, reason };
        await expect(call(sendMessage, entries), reason).rejects.toMatchObject(refused);
      }
      expect(contexts).toEqual([]);
    });

    it("[A3] is refused within a second after the device was revoked", async () => {
      const accessToken = bearing(await token());
      await call(getDeviceCursor, accessToken);
      await revoke();
      await expect
        .poll(() => {
          clock.advance(250);
          return call(getDeviceCursor, accessToken).catch((error) => error);
        })
        .toMatchObject({ code: Code.UNAUTHENTICATED, reason: "TOKEN_REVOKED" });
    });

    it("is told to come again while nobody knows who has been revoked", async () => {
      const faults = new Faults<StreamFault>(() => 0);
      const away = withFaults(openMemoryStreams({ clock }), { faults, clock });
      faults.next("unavailable", Number.POSITIVE_INFINITY);
      const early = new AccessTokenChecks({
        verifier: sessionVerifier({ client: () => ({}) } as unknown as Mesh, clock),
        streams: away,
        clock,
        log: silentLogger,
      });
      void early.start();
      await expect(early.verify(await token())).rejects.toMatchObject({ reason: "UNAVAILABLE" });
      early.stop();
    });

    it("[R1] may send 512 KB in a request, and have 256 calls under way", async () => {
      const accessToken = bearing(await token());
      await expect(
        call(sendMessage, accessToken, { text: "x".repeat(524_288) }),
      ).rejects.toMatchObject({ code: Code.INVALID_ARGUMENT, reason: "FIELD_INVALID" });
      await call(sendMessage, accessToken, { text: "x".repeat(524_000) });

      let release = () => {};
      gate = new Promise((resolve) => {
        release = resolve;
      });
      const calls = Array.from({ length: 257 }, () => call(sendMessage, accessToken));
      const shed = await Promise.any(
        calls.map((made) =>
          made.then(
            () => Promise.reject(),
            (e) => e,
          ),
        ),
      );
      expect(shed).toMatchObject({ reason: "OVERLOADED", details: { retryAfterMs: 200 } });
      release();
      const outcomes = await Promise.allSettled(calls);
      expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(256);
      await call(sendMessage, accessToken);
    });
  });

  it("[A1] [K2] signs in without any token", async () => {
    expect((await call(SessionService.method.logIn, {})).deviceId).toBe(deviceId);
    expect((await call(SessionService.method.logIn, bearing("stale"))).deviceId).toBe(deviceId);
  });

  it("is let in by no server that does not check tokens", async () => {
    await server.drain(0);
    client.close();
    await start(undefined);
    await expect(call(listChannels, bearing(await token()))).rejects.toMatchObject({
      code: Code.PERMISSION_DENIED,
    });
  });

  describe("[K4] with a response stream", () => {
    const deliveries = (bytes: number): MessageInitShape<(typeof follow)["output"]> => {
      const message = { body: { case: "text" as const, value: "x".repeat(bytes) } };
      const entry = { items: [{ item: { case: "message" as const, value: message } }] };
      return { event: { case: "deliveries", value: { deliveries: [{ entry }] } } };
    };
    const caughtUp = (inboxSequence: bigint): MessageInitShape<(typeof follow)["output"]> => ({
      event: { case: "caughtUp", value: { inboxSequence } },
    });
    async function followed() {
      const opened = open(follow, bearing(await token()));
      await expect.poll(() => responses.length).toBe(1);
      return { ...opened, responses: responses[0]! };
    }

    it("reads what is written, in order, and the service learns what has left", async () => {
      const { stream, responses } = await followed();
      expect(contexts[0]!.identity).toEqual({ userId, deviceId });
      const heard: unknown[] = [];
      stream.on("data", ({ event }: FollowResponse) =>
        heard.push((event.value as InboxCaughtUp).inboxSequence),
      );
      const written: number[] = [];
      for (let i = 1; i <= 50; i++) responses.write(caughtUp(BigInt(i)), () => written.push(i));
      const ended = new Promise((resolve) => stream.once("status", resolve));
      responses.end();
      expect(await ended).toMatchObject({ code: 0 });
      expect(heard).toEqual(Array.from({ length: 50 }, (_, i) => BigInt(i + 1)));
      expect(closed).toBe(1);
    });

    it("leaves, and the service is told", async () => {
      const { stream, responses } = await followed();
      stream.on("error", () => {});
      stream.cancel();
      await expect.poll(() => closed).toBe(1);
      responses.write(caughtUp(1n), () => expect.fail("written to nobody"));
      responses.end();
      expect(closed).toBe(1);
    });

    it("[A3] is ended when the device is revoked, long after the token has expired", async () => {
      const { stream, ended } = await followed();
      stream.resume();
      clock.advance(3_000_000);
      await revoke();
      const isClosed = () => {
        clock.advance(250);
        return closed;
      };
      await expect.poll(isClosed).toBe(1);
      expect(await ended).toMatchObject({ code: Code.UNAUTHENTICATED, reason: "TOKEN_REVOKED" });
      expect(closed).toBe(1);
    });

    it("[R4] is sent on by a server that shuts down", async () => {
      const { stream, ended } = await followed();
      stream.resume();
      const drained = server.drain(1_000);
      expect(await ended).toMatchObject({
        code: Code.UNAVAILABLE,
        reason: "UNAVAILABLE",
        details: { retryAfterMs: expect.any(Number) },
      });
      await drained;
    });

    it("[R1] is cut off where it does not even read that its stream has ended", async () => {
      const { stream, ended, responses } = await followed();
      for (let i = 0; i < 8; i++) responses.write(deliveries(1_000_000));
      responses.end(new Error("whatever"));
      expect(closed).toBe(1);
      clock.advance(5_000);
      stream.resume();
      expect((await ended).code).toBe(Code.RESOURCE_EXHAUSTED);
    });

    it("needs a token like any other caller", async () => {
      expect(await open(follow, {}).ended).toMatchObject({ reason: "TOKEN_MISSING" });
      expect(responses).toEqual([]);
    });
  });
});
