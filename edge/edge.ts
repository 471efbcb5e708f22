/**
 * The edge: holds sockets and nothing else. What it knows of a connection (user, device, position
 * in the inbox) it has from the token and the client; a restart loses nothing.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { MessageService } from "../gen/parley/message/v1/message_service_pb.js";
import { AccessTokenChecks, type AccessTokenChecksOptions } from "../mesh/access-token-checks.ts";
import { ChannelFeeds } from "../mesh/channel-feeds.ts";
import type { Clock } from "../mesh/clock.ts";
import { InboxFeeds } from "../mesh/inbox-feed.ts";
import { LogFeeds } from "../mesh/log-feed.ts";
import type { Logger } from "../mesh/logger.ts";
import type { Metrics } from "../mesh/metrics.ts";
import type { Mesh } from "../mesh/rpc.ts";
import type { Streams } from "../mesh/streams.ts";
import { Acks } from "./acks.ts";
import { ClientAddresses } from "./client-addresses.ts";
import { Connections } from "./connections.ts";
import { Devices, type PresenceReporter } from "./devices.ts";
import type { EdgeConfig } from "./edge-config.ts";
import type { EdgeContext } from "./edge-context.ts";
import { createEdgeMetrics } from "./edge-metrics.ts";
import { endWithProblem, type Problem } from "./http-problem.ts";
import { HttpRoutes } from "./http-routes.ts";
import type { OtherEdges } from "./other-edges.ts";
import type { SendLinks } from "./send-links.ts";
import { TimerWheel } from "./timer-wheel.ts";
import { TurnFlush } from "./turn-flush.ts";
import { WebSockets } from "./web-sockets.ts";

/** What an edge works with. It owns none of it: the caller closes it after the edge. */
export interface EdgeOptions {
  /** "edge-4f2a1b0c" */
  instanceId: string;
  mesh: Mesh;
  /** The secret that the processes of the mesh share. */
  meshSecret: string;
  streams: Streams;
  verifier: AccessTokenChecksOptions["verifier"];
  presence: PresenceReporter;
  sends: Pick<SendLinks, "send" | "markDelivered" | "markChannels">;
  otherEdges: Pick<OtherEdges, "addressFor" | "nextUrl">;
  clock: Clock;
  config: EdgeConfig;
  log: Logger;
  metrics: Metrics;
}

/** A running edge. */
export interface Edge {
  /**
   * Reads who has been revoked, for as long as it takes, then accepts connections.
   * @throws where the address can't be listened on.
   */
  listen(): Promise<void>;
  /** "host:port", once it listens. */
  readonly address: string;
  /** How many connections there are. */
  readonly connectionCount: number;
  /** The devices that are connected, for Presence; read bit by bit while they come and go. */
  listDevices(): Iterable<{ userId: string; deviceId: string }>;
  /**
   * Answers "not ready" to health checks, takes no new connection, and closes the present ones in
   * slices over `drainMs`, each when what it asked is answered. Resolves when all have gone, 5 s
   * after the last slice at the latest.
   */
  drain(): Promise<void>;
  /** Drops every connection and frees the port. */
  close(): Promise<void>;
}

/** Makes an edge; it does nothing before `listen`. */
export function createEdge(options: EdgeOptions): Edge {
  const { streams, verifier, presence, clock, config, log, metrics } = options;
  const pollMs = config.revocationPollMs;
  const tokens = new AccessTokenChecks({ verifier, streams, clock, log, pollMs });
  const devices = new Devices(presence);
  tokens.onRevocation((revocation) => devices.revoke(revocation));
  const messages = options.mesh.client(MessageService);
  const context: EdgeContext = {
    ...options,
    verifier: tokens,
    metrics: createEdgeMetrics(metrics),
    feeds: new InboxFeeds({ streams, clock, log, metrics }),
    channels: new ChannelFeeds({
      logs: new LogFeeds({ streams, clock, log, metrics }),
      sync: async (identity, positions) =>
        (await messages.syncChannels({ positions }, { identity })).updates,
      clock,
      log,
    }),
    devices,
    acks: new Acks(options.sends, clock, config.ackIntervalMs),
    wheel: new TimerWheel(clock),
    turnFlush: new TurnFlush(),
    addresses: new ClientAddresses({ ...options, ...config }),
  };
  const edge = new RunningEdge(context, tokens);
  metrics.gauge(
    "parley_edge_connections",
    "Connections that are open.",
    () => edge.connectionCount,
  );
  return edge;
}

class RunningEdge implements Edge {
  private readonly context: EdgeContext;
  private readonly tokens: AccessTokenChecks;
  private readonly connections: Connections;
  private readonly http: HttpRoutes;
  private readonly server: Server;
  private isReady = false;

  constructor(context: EdgeContext, tokens: AccessTokenChecks) {
    this.context = context;
    this.tokens = tokens;
    this.connections = new Connections(context);
    const webSockets = new WebSockets(context, this.connections);
    this.http = new HttpRoutes(context, this.connections, () => this.isReady);
    const { headerBytesMax, connectionsMax, httpConnectionsMax } = context.config;
    const serverOptions = { ...httpTimeouts, maxHeaderSize: headerBytesMax };
    this.server = createServer(serverOptions, (request, response) => {
      this.http.handle(request, response);
    });
    this.server.maxConnections = connectionsMax + httpConnectionsMax;
    this.server.on("error", (err) => context.log.error({ event: "edge_server_failed", err }));
    this.server.on("clientError", refuseUnreadable);
    this.server.on("upgrade", (request, socket, head) => {
      webSockets.upgrade(request, socket, head);
    });
  }

  get address(): string {
    const { address, port } = this.server.address() as AddressInfo;
    return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  }

  get connectionCount(): number {
    return this.connections.count;
  }

  listDevices(): Iterable<{ userId: string; deviceId: string }> {
    return this.context.devices.list();
  }

  async listen(): Promise<void> {
    await this.tokens.start();
    const { host, port } = this.context.config;
    await new Promise<void>((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen({ host, port, backlog }, () => resolve());
    });
    this.isReady = true;
    this.context.log.info({ event: "edge_started", address: this.address });
  }

  async drain(): Promise<void> {
    this.isReady = false;
    this.context.log.info({ event: "edge_draining", connections: this.connectionCount });
    await this.connections.drain();
    await this.http.whenIdle();
    this.context.acks.flush();
  }

  async close(): Promise<void> {
    this.isReady = false;
    const { acks, feeds, channels, wheel } = this.context;
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.connections.close();
    this.server.closeAllConnections();
    this.tokens.stop();
    wheel.stop();
    await closed;
    acks.flush();
    feeds.close();
    channels.close();
  }
}

/** Answers what could not be read as a request, where there is still somebody to answer. */
function refuseUnreadable({ code }: NodeJS.ErrnoException, socket: Duplex): void {
  if (code === "ECONNRESET" || !socket.writable) socket.destroy();
  else endWithProblem(socket, unreadable[code ?? ""] ?? notHttp);
}

const notHttp: Problem = { status: 400, reason: "REQUEST_INVALID", detail: "not an HTTP request" };
/** By Node's codes for what a client did. */
const unreadable: Readonly<Record<string, Problem>> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    reason: "HEADERS_TOO_LARGE",
    detail: "the headers exceed the limit",
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    reason: "REQUEST_TIMEOUT",
    detail: "the request did not arrive in time",
  },
};

/** Who sends a request more slowly than this is answered 408. */
const httpTimeouts = { headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 60_000 };

/** Connections that wait to be accepted: a reconnect storm of a whole edge arrives within seconds. */
const backlog = 4_096;
