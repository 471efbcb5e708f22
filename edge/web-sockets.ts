/** The WebSocket side of the edge's server: accepts, counts and closes connections. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { sleep } from "../mesh/clock.ts";
import { CloseCode } from "./close-codes.ts";
import { Connection } from "./connection.ts";
import type { EdgeContext } from "./edge-context.ts";
import { createSocketServer } from "./edge-socket.ts";
import type { FrameCodec } from "./frame-codec.ts";
import { jsonFrames } from "./frames-json.ts";
import { protobufFrames } from "./frames-protobuf.ts";
import { checkHandshake, clientAddress, HandshakeRefused, refuseHandshake } from "./handshake.ts";

/** All WebSockets of an edge. */
export class WebSockets {
  private readonly edge: EdgeContext;
  private readonly protocols: ReadonlyMap<string, Protocol>;
  private readonly connections = new Set<Connection>();
  private isDraining = false;
  private accepted = 0;

  constructor(edge: EdgeContext) {
    this.edge = edge;
    const { protobufFrameBytesMax, jsonFrameBytesMax } = edge.config;
    const protocols = [
      createProtocol(protobufFrames, protobufFrameBytesMax),
      createProtocol(jsonFrames, jsonFrameBytesMax),
    ];
    this.protocols = new Map(protocols.map((each) => [each.codec.subprotocol, each]));
  }

  /** How many sockets there are, signed in or not. */
  get count(): number {
    return this.connections.size;
  }

  /** Answers a request for a WebSocket. */
  upgrade(request: IncomingMessage, raw: Duplex, head: Buffer): void {
    try {
      this.checkCapacity();
      const { codec, server } = checkHandshake(request, this.edge.config, this.protocols);
      server.handleUpgrade(request, raw, head, (ws) => {
        const address = clientAddress(request, this.edge.config.forwardedHops);
        const connection = new Connection(this.edge, { ws, raw, codec }, ++this.accepted, address);
        ws.attach(connection, this.connections);
      });
    } catch (error) {
      raw.on("error", () => {});
      const refused =
        error instanceof HandshakeRefused ? error : new HandshakeRefused(500, "internal error");
      if (refused !== error) this.edge.log.error({ event: "handshake_failed", err: error });
      this.edge.metrics.refused.inc({ status: refused.status });
      refuseHandshake(raw, refused);
    }
  }

  /**
   * Accepts no more and closes what there is, a slice at a time, so that neither this edge nor
   * those that the clients go to have to bear all of them at once.
   */
  async drain(): Promise<void> {
    this.isDraining = true;
    const { drainMs, drainSliceMin, drainRetryAfterMs } = this.edge.config;
    const all = [...this.connections];
    const evenly = Math.ceil(all.length / Math.max(1, Math.floor(drainMs / drainSliceMs)));
    const sliceSize = Math.max(drainSliceMin, evenly);
    for (let from = 0; from < all.length; from += sliceSize) {
      if (from > 0) await sleep(this.edge.clock, drainSliceMs);
      for (const connection of all.slice(from, from + sliceSize)) {
        connection.close(CloseCode.SERVICE_RESTART, `retry_after_ms=${drainRetryAfterMs}`);
      }
    }
  }

  /** Accepts no more and drops what there is. */
  close(): void {
    this.isDraining = true;
    for (const connection of this.connections) connection.drop();
  }

  private checkCapacity(): void {
    const { connectionsMax } = this.edge.config;
    if (this.isDraining) throw new HandshakeRefused(503, "this edge is shutting down");
    if (this.connections.size >= connectionsMax) {
      throw new HandshakeRefused(503, `this edge has ${connectionsMax} connections, its limit`);
    }
  }
}

/** A subprotocol: how its frames are written, and who does its handshakes. */
interface Protocol {
  codec: FrameCodec;
  server: ReturnType<typeof createSocketServer>;
}

function createProtocol(codec: FrameCodec, frameBytesMax: number): Protocol {
  return { codec, server: createSocketServer(codec.subprotocol, frameBytesMax) };
}

const drainSliceMs = 250;
