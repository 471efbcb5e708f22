/** The WebSocket side of the edge's server: does the handshakes. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { Connections } from "./connections.ts";
import type { EdgeContext } from "./edge-context.ts";
import { createSocketServer } from "./edge-socket.ts";
import type { FrameCodec } from "./frame-codec.ts";
import { jsonFrames } from "./frames-json.ts";
import { protobufFrames } from "./frames-protobuf.ts";
import { checkHandshake } from "./handshake.ts";
import { endWithProblem, HttpRefused, toProblem } from "./http-problem.ts";

/** Turns requests for a WebSocket into connections. */
export class WebSockets {
  private readonly edge: EdgeContext;
  private readonly connections: Connections;
  private readonly protocols: ReadonlyMap<string, Protocol>;

  constructor(edge: EdgeContext, connections: Connections) {
    this.edge = edge;
    this.connections = connections;
    const { protobufFrameBytesMax, jsonFrameBytesMax } = edge.config;
    const protocols = [
      createProtocol(protobufFrames, protobufFrameBytesMax),
      createProtocol(jsonFrames, jsonFrameBytesMax),
    ];
    this.protocols = new Map(protocols.map((each) => [each.codec.subprotocol, each]));
  }

  /** Answers a request for a WebSocket. */
  upgrade(request: IncomingMessage, raw: Duplex, head: Buffer): void {
    try {
      const { codec, server } = checkHandshake(request, this.edge.config, this.protocols);
      const address = this.edge.addresses.of(request);
      const refusal = this.connections.refusal(address);
      server.handleUpgrade(request, raw, head, (ws) => {
        if (refusal) return ws.refuse(refusal);
        ws.attach(raw, codec, this.connections, address);
      });
    } catch (error) {
      raw.on("error", () => {});
      if (!(error instanceof HttpRefused)) {
        this.edge.log.error({ event: "handshake_failed", err: error });
      }
      const problem = toProblem(error);
      this.edge.metrics.refused.inc({ status: problem.status });
      endWithProblem(raw, problem, request);
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
