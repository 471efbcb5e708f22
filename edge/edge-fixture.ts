/** A real edge on a free port for tests, over streams in memory and a mesh that tests answer for. */
import { once } from "node:events";
import {
  create,
  type DescMethodUnary,
  type DescService,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { InboxEntrySchema, RevocationSchema } from "../gen/parley/log/v1/log_pb.js";
import {
  type LinkCursor,
  type LinkDelivered,
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
import { type FrameClient, HttpClient, type Position, SocketClient } from "./frame-client.ts";
import { OtherEdges } from "./other-edges.ts";
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
  /** What Message was told that users have of channels. */
  readonly delivered: LinkDelivered[] = [];
  readonly calls: { method: string; request: unknown; options: CallOptions }[] = [];
  readonly answers = new Map<string, Answer>();
  readonly sends: { request: SendMessageRequest; userId: string; done: SendDone }[] = [];
  /** What happens while a token is verified. */
  whileVerifying: () => Promise<unknown> = async () => {};
  /** Whether sends wait in `sends` for the test to answer them. */
  holdsSends = false;
  /** None, as long as a test names none. */
  readonly otherEdges: OtherEdges;
  readonly edge: Edge;
  private readonly clients: FrameClient[] = [];

  constructor(config: Partial<EdgeConfig> = {}, instanceId = "edge-1") {
    const settings = { ...parseConfig(edgeConfig, {}), port: 0, drainMs: 0, ...config };
    this.otherEdges = new OtherEdges({ instanceId, ...settings });
    this.edge = createEdge({
      instanceId,
      otherEdges: this.otherEdges,
      mesh: this.mesh(),
      meshSecret: "the secret of all edges",
      streams: this.streams,
      verifier: {
        verify: async (token) => {
          await this.whileVerifying();
          return this.verify(token);
        },
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
        markChannels: (delivered) => void this.delivered.push(...delivered),
      },
      clock: this.clock,
      config: settings,
      log: silentLogger,
      metrics: this.metrics,
    });
  }

  async start(): Promise<this> {
    await this.edge.listen();
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.clients) client.end();
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
  async connect(
    subprotocol = "parley.v1.protobuf",
    headers: Record<string, string> = {},
  ): Promise<SocketClient> {
    const client = new SocketClient(`ws://${this.edge.address}/ws`, subprotocol, headers);
    this.clients.push(client);
    await once(client.ws, "open");
    return client;
  }

  /** A device that has said hello and was welcomed. Its token is "alice/alice-1". */
  async signIn(token: string, position?: Position, subprotocol?: string): Promise<SocketClient> {
    const client = await this.connect(subprotocol);
    client.send({ case: "hello", value: { accessToken: token, ...position } });
    await client.next("welcome");
    return client;
  }

  /** A device that was welcomed over HTTP. */
  async signInBy(way: "events" | "poll", token: string, position?: Position): Promise<HttpClient> {
    const client = new HttpClient(`http://${this.edge.address}`, way, token, position);
    this.clients.push(client);
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
