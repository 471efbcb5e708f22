/** The connections of an edge, whatever carries them: counts, drains and drops them. */
import { sleep } from "../mesh/clock.ts";
import { CloseCode } from "./close-codes.ts";
import { Connection } from "./connection.ts";
import type { EdgeContext } from "./edge-context.ts";
import type { FrameCodec } from "./frame-codec.ts";
import type { FrameSocket } from "./frame-socket.ts";
import { HttpRefused } from "./http-problem.ts";

/** All connections of an edge. */
export class Connections {
  private readonly edge: EdgeContext;
  private readonly all = new Set<Connection>();
  private isDraining = false;
  private accepted = 0;

  constructor(edge: EdgeContext) {
    this.edge = edge;
  }

  /** How many there are, signed in or not. */
  get count(): number {
    return this.all.size;
  }

  /** @throws HttpRefused where no further one is accepted. */
  checkCapacity(): void {
    const { connectionsMax } = this.edge.config;
    if (this.isDraining) throw noRoom("DRAINING", "this edge is shutting down");
    if (this.all.size >= connectionsMax) {
      throw noRoom("OVERLOADED", `this edge has ${connectionsMax} connections, its limit`);
    }
  }

  /** Begins a connection, which stays until it is removed. */
  add(socket: FrameSocket, codec: FrameCodec, clientAddress: string): Connection {
    const connection = new Connection(this.edge, { socket, codec }, ++this.accepted, clientAddress);
    this.all.add(connection);
    return connection;
  }

  /** The connection's socket has closed. */
  remove(connection: Connection): void {
    if (this.all.delete(connection)) connection.onClose();
  }

  /**
   * Accepts no more and closes what there is, a slice at a time, so that neither this edge nor
   * those that the clients go to have to bear all of them at once.
   */
  async drain(): Promise<void> {
    this.isDraining = true;
    const { drainMs, drainSliceMin, drainRetryAfterMs } = this.edge.config;
    const all = [...this.all];
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
    for (const connection of this.all) connection.drop();
  }
}

/** There may be room soon, or on another edge at once. */
function noRoom(reason: string, message: string): HttpRefused {
  return new HttpRefused(503, reason, message, { "retry-after": "1" });
}

const drainSliceMs = 250;
