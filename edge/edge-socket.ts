import { type RawData, WebSocket, WebSocketServer } from "ws";
import type { Connection } from "./connection.ts";

/** A WebSocket that knows its connection, so that all of them share the same listeners. */
export class EdgeSocket extends WebSocket {
  connection: Connection | undefined = undefined;
  connections: Set<Connection> | undefined = undefined;

  /** Hands what arrives to the connection, which stands in `connections` until the close. */
  attach(connection: Connection, connections: Set<Connection>): void {
    this.connection = connection;
    this.connections = connections;
    connections.add(connection);
    this.binaryType = "fragments";
    this.on("message", onMessage);
    this.on("close", onClose);
    this.on("error", onError);
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
  connections!.delete(connection!);
  connection!.onClose();
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
