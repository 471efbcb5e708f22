import type { Duplex } from "node:stream";
import { type RawData, WebSocket, WebSocketServer } from "ws";
import type { Connection } from "./connection.ts";
import type { Connections } from "./connections.ts";
import type { FrameCodec } from "./frame-codec.ts";
import type { FrameSocket } from "./frame-socket.ts";
import type { Closing } from "./turns.ts";

/** A WebSocket that knows its connection, so that all of them share the same listeners. */
export class EdgeSocket extends WebSocket implements FrameSocket {
  raw: Duplex | undefined = undefined;
  connection: Connection | undefined = undefined;
  connections: Connections | undefined = undefined;

  /** Begins a connection and hands it what arrives, until the close. */
  attach(raw: Duplex, codec: FrameCodec, connections: Connections, clientAddress: string): void {
    this.raw = raw;
    this.connections = connections;
    this.connection = connections.add(this, codec, clientAddress);
    this.binaryType = "fragments";
    this.on("message", onMessage);
    this.on("close", onClose);
    this.on("error", onError);
  }

  /** Says why there is no connection: a page's script never sees the status of a handshake. */
  refuse({ code, reason }: Closing): void {
    this.on("error", onError);
    this.close(code, reason);
  }

  cork(): void {
    this.raw!.cork();
  }

  uncork(): void {
    this.raw!.uncork();
  }
}

/** Makes the side of ws that does the handshakes of one subprotocol. */
export function createSocketServer(subprotocol: string, frameBytesMax: number) {
  return new WebSocketServer({
    ...serverOptions,
    maxPayload: frameBytesMax,
    handleProtocols: () => subprotocol,
  });
}

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
  const { connection } = this as EdgeSocket;
  if (isBinary) connection!.receive(takeFragments(data as Buffer[]), true);
  else connection!.receive(data as Buffer, false);
}

/**
 * Empties the list, which ws keeps since the message before: it has grown old by then, and what an
 * old dead object refers to lives until the next full collection (850 bytes a heartbeat, measured).
 */
function takeFragments(fragments: Buffer[]): Buffer {
  const data = fragments.length === 1 ? fragments[0]! : Buffer.concat(fragments);
  fragments.length = 0;
  return data;
}

function onClose(this: WebSocket): void {
  const { connection, connections } = this as EdgeSocket;
  connections!.remove(connection!);
}

/** Every error of a socket ends in its close, and that is enough to know. */
function onError(): void {}

/**
 * A message of 1.5 MB that comes in Ethernet's packets is 1,100 chunks. Compression would cost
 * more memory per connection than everything else together (README of ws).
 */
const serverOptions = {
  noServer: true,
  WebSocket: EdgeSocket,
  clientTracking: false,
  perMessageDeflate: false,
  maxFragments: 128,
  maxBufferedChunks: 4_096,
  closeTimeout: 5_000,
};
