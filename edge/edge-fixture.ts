/** A real edge on a free port for tests, over streams in memory and a mesh that tests answer for. */
import { once } from "node:events";
import {
  create,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  fromJsonString,
  type MessageInitShape,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { WebSocket } from "ws";
import {
  ClientFrameSchema,
  type ServerFrame,
  ServerFrameSchema,
} from "../gen/parley/edge/v1/frame_pb.js";
import { InboxEntrySchema, RevocationSchema } from "../gen/parley/log/v1/log_pb.js";
import {
  type LinkCursor,
  type SendMessageRequest,
  SendMessageResponseSchema,
} from "../gen/parley/message/v1/message_service_pb.js";
import type { AccessToken } from "../mesh/access-token.ts";
import { ManualClock } from "../mesh/clock-manual.ts";
import { parseConfig } from "../mesh/config.ts";
import { DomainError } from "../mesh/errors.ts";
import type { DeviceId, UserId } from "../mesh/ids.ts";
import { silentLogger } from "../mesh/logger.ts";
import { methodPath } from "../mesh/methods.ts";
import { Metrics } from "../mesh/metrics.ts";
import type { CallOptions, Mesh } from "../mesh/rpc.ts";
import { inboxSubject, type Streams } from "../mesh/streams.ts";
import { openMemoryStreams } from "../mesh/streams-memory.ts";
import { createEdge, type Edge } from "./edge.ts";
import { type EdgeConfig, edgeConfig } from "./edge-config.ts";
import type { SendDone } from "./send-links.ts";

/** Answers one method in place of its service. */
export type Answer = (request: never, options: CallOptions) => unknown;

/** An edge with everything that a test may want to touch. */
export class EdgeFixture {
  readonly clock = new ManualClock();
  readonly streams: Streams = openMemoryStreams({ clock: this.clock });
  readonly metrics = new Metrics();
  readonly revoked: string[] = [];
  /** What presence was told: "attached alice-1". */
  readonly presence: string[] = [];
  /** What Message was told that devices have stored. */
  readonly marked: LinkCursor[] = [];
  readonly calls: { method: string; request: unknown; options: CallOptions }[] = [];
  readonly answers = new Map<string, Answer>();
  readonly sends: { request: SendMessageRequest; userId: string; done: SendDone }[] = [];
  /** Whether sends wait in `sends` for the test to answer them. */
  holdsSends = false;
  readonly edge: Edge;
  private readonly clients: TestClient[] = [];

  constructor(config: Partial<EdgeConfig> = {}) {
    this.edge = createEdge({
      mesh: this.mesh(),
      streams: this.streams,
      verifier: {
        verify: async (token) => this.verify(token),
        isRevoked: (token) => this.revoked.includes(token.deviceId),
        applyRevocation: ({ deviceId }) => void this.revoked.push(deviceId),
      },
      presence: {
        attached: (_user, device) => this.presence.push(`attached ${device}`),
        detached: (_user, device) => this.presence.push(`detached ${device}`),
        loggedOut: (_user, device) => this.presence.push(`logged out ${device}`),
      },
      sends: {
        send: (identity, request, done) => this.send(identity.userId, request, done),
        markDelivered: (cursors) => void this.marked.push(...cursors),
      },
      clock: this.clock,
      config: { ...parseConfig(edgeConfig, {}), port: 0, drainMs: 0, ...config },
      log: silentLogger,
      metrics: this.metrics,
    });
  }

  async start(): Promise<this> {
    await this.edge.listen();
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.clients) client.ws.terminate();
    await this.edge.close();
    await this.streams.close();
  }

  /** The value of a counter without labels. */
  async count(name: string): Promise<number> {
    const { values } = await this.metrics.registry.getSingleMetric(name)!.get();
    return values[0]!.value;
  }

  /** Lets time pass, and what it brought about happen. */
  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Opens a WebSocket; nothing is sent. */
  async connect(subprotocol = "parley.v1.protobuf"): Promise<TestClient> {
    const client = new TestClient(`ws://${this.edge.address}/ws`, subprotocol);
    this.clients.push(client);
    await once(client.ws, "open");
    return client;
  }

  /** A device that has said hello and was welcomed. Its token is "alice/alice-1". */
  async signIn(
    token: string,
    position?: { inboxEpoch: string; inboxSequence: bigint },
    subprotocol?: string,
  ): Promise<TestClient> {
    const client = await this.connect(subprotocol);
    client.send({ case: "hello", value: { accessToken: token, ...position } });
    await client.next("welcome");
    return client;
  }

  /** Stores an inbox entry with one message of this text. */
  store(userId: string, text: string): Promise<number> {
    const body = { case: "text" as const, value: text };
    const message = { channelId: "g-1", messageId: 7n, senderId: "bob", body };
    const entry = create(InboxEntrySchema, {
      items: [{ item: { case: "message", value: message } }],
    });
    return this.streams.inbox.append(inboxSubject(userId), toBinary(InboxEntrySchema, entry));
  }

  /** Ends a device's sign-in, as Session does. */
  revoke(userId: string, deviceId: string): Promise<number> {
    const issuedBeforeMs = BigInt(this.clock.nowMs() + 1);
    const revocation = create(RevocationSchema, { userId, deviceId, issuedBeforeMs });
    return this.streams.revocations.append("revocation", toBinary(RevocationSchema, revocation));
  }

  private verify(token: string): AccessToken {
    if (token === "") throw new DomainError("TOKEN_MISSING", "an access token is needed");
    if (token === "expired") throw new DomainError("TOKEN_EXPIRED", "the access token has expired");
    if (token === "away") throw new DomainError("UNAVAILABLE", "the keys can't be read");
    const [userId, deviceId] = token.split("/");
    if (!deviceId) throw new DomainError("TOKEN_INVALID", "not an access token of ours");
    if (this.revoked.includes(deviceId)) throw new DomainError("TOKEN_REVOKED", "was ended");
    const issueTimeMs = this.clock.nowMs();
    const ids = { userId: userId as UserId, deviceId: deviceId as DeviceId };
    return { ...ids, issueTimeMs, expireTimeMs: issueTimeMs + 600_000 };
  }

  private send(userId: string, request: SendMessageRequest, done: SendDone): void {
    this.sends.push({ request, userId, done });
    if (!this.holdsSends) done(create(SendMessageResponseSchema, { channelSequence: 1 }));
  }

  private mesh(): Mesh {
    const call = async (method: DescMethodUnary, request: unknown, options: CallOptions = {}) => {
      const name = methodPath(method).slice(1);
      this.calls.push({ method: name, request, options });
      const answer = await this.answers.get(name)?.(request as never, options);
      return create(method.output, answer as MessageInitShape<typeof method.output>);
    };
    const client = ({ method }: DescService) =>
      Object.fromEntries(
        Object.entries(method).map(([key, each]) => [
          key,
          (request: unknown, options: CallOptions) =>
            call(each as DescMethodUnary, request, options),
        ]),
      );
    return { call, client } as unknown as Mesh;
  }
}

/** A WebSocket client that keeps what it hears. */
export class TestClient {
  readonly ws: WebSocket;
  readonly frames: ServerFrame["frame"][] = [];
  /** Code and reason, once it is closed. */
  readonly closed: Promise<{ code: number; reason: string }>;
  private readonly isJson: boolean;
  private wake: () => void = () => {};

  constructor(url: string, subprotocol: string) {
    this.ws = new WebSocket(url, subprotocol);
    this.isJson = subprotocol === "parley.v1.json";
    this.ws.on("message", (data: Buffer) => {
      const { frame } = this.isJson
        ? fromJsonString(ServerFrameSchema, data.toString())
        : fromBinary(ServerFrameSchema, data);
      this.frames.push(frame);
      this.wake();
    });
    this.ws.on("error", () => {});
    this.closed = new Promise((resolve) => {
      this.ws.on("close", (code, reason) => resolve({ code, reason: reason.toString() }));
    });
  }

  /** Sends a frame. */
  send(frame: MessageInitShape<typeof ClientFrameSchema>["frame"]): void {
    const message = create(ClientFrameSchema, { frame: frame! });
    if (this.isJson) this.ws.send(toJsonString(ClientFrameSchema, message));
    else this.ws.send(toBinary(ClientFrameSchema, message));
  }

  /** Takes the next frame, which must be of this kind. */
  async next<K extends NonNullable<ServerFrame["frame"]["case"]>>(
    kind: K,
  ): Promise<Extract<ServerFrame["frame"], { case: K }>["value"]> {
    const frame = await this.any();
    if (frame.case !== kind) throw new Error(`wanted ${kind}, got ${frame.case}`);
    return frame.value as never;
  }

  /** Takes the next frame. */
  async any(): Promise<ServerFrame["frame"]> {
    while (this.frames.length === 0) {
      await new Promise<void>((resolve, reject) => {
        this.wake = resolve;
        void this.closed.then((closed) => reject(new Error(`closed: ${JSON.stringify(closed)}`)));
      });
    }
    return this.frames.shift()!;
  }

  /** Takes inbox entries until there are `count`, and gives their texts. */
  async texts(count: number): Promise<string[]> {
    const texts: string[] = [];
    while (texts.length < count) {
      const { deliveries } = await this.next("deliveries");
      for (const { entry } of deliveries) {
        for (const { item } of entry!.items) {
          if (item.case === "message") texts.push(String(item.value.body.value));
        }
      }
    }
    return texts;
  }

  /** Shows that the connection works. */
  async isAlive(): Promise<boolean> {
    this.send({ case: "heartbeat", value: {} });
    await this.next("heartbeatResult");
    return true;
  }
}
