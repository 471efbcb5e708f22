/** The connections of an edge, whatever carries them: counts, drains and drops them. */
import { sleep } from "../mesh/clock.ts";
import { within } from "../mesh/lifecycle.ts";
import { AddressCounts } from "./address-counts.ts";
import { CloseCode } from "./close-codes.ts";
import { Connection } from "./connection.ts";
import type { EdgeContext } from "./edge-context.ts";
import type { FrameCodec } from "./frame-codec.ts";
import type { FrameSocket } from "./frame-socket.ts";
import type { Closing } from "./turns.ts";

/** All connections of an edge. */
export class Connections {
  private readonly edge: EdgeContext;
  private readonly all = new Set<Connection>();
  private readonly ofAddresses = new AddressCounts();
  private isDraining = false;
  private onEmpty: (() => void) | undefined;
  private accepted = 0;

  constructor(edge: EdgeContext) {
    this.edge = edge;
  }

  /** How many there are, signed in or not. */
  get count(): number {
    return this.all.size;
  }

  /** Why no further one of this client is accepted, and where to go; undefined: there is room. */
  refusal(clientAddress: string): Closing | undefined {
    const { connectionsMax, connectionsPerAddressMax } = this.edge.config;
    const isFull =
      this.all.size >= connectionsMax ||
      this.ofAddresses.of(clientAddress) >= connectionsPerAddressMax;
    if (!this.isDraining && !isFull) return undefined;
    const code = this.isDraining ? CloseCode.SERVICE_RESTART : CloseCode.TRY_AGAIN_LATER;
    this.edge.metrics.closed.inc({ code });
    return { code, reason: this.elsewhere() };
  }

  /** Begins a connection, which stays until it is removed. */
  add(socket: FrameSocket, codec: FrameCodec, clientAddress: string): Connection {
    const connection = new Connection(this.edge, { socket, codec }, ++this.accepted, clientAddress);
    this.all.add(connection);
    this.ofAddresses.add(clientAddress);
    return connection;
  }

  /** The connection's socket has closed. */
  remove(connection: Connection): void {
    if (!this.all.delete(connection)) return;
    this.ofAddresses.remove(connection.clientAddress);
    connection.onClose();
    if (this.all.size === 0) this.onEmpty?.();
  }

  /**
   * Accepts no more and closes what there is, a slice at a time, so that neither this edge nor
   * those that the clients go to have to bear all of them at once. Resolves when they have gone, or
   * have had the time to.
   */
  async drain(): Promise<void> {
    this.isDraining = true;
    const { drainMs, drainSliceMin } = this.edge.config;
    const all = [...this.all];
    const evenly = Math.ceil(all.length / Math.max(1, Math.floor(drainMs / drainSliceMs)));
    const sliceSize = Math.max(drainSliceMin, evenly);
    for (let from = 0; from < all.length; from += sliceSize) {
      if (from > 0) await sleep(this.edge.clock, drainSliceMs);
      for (const connection of all.slice(from, from + sliceSize)) {
        connection.retire(CloseCode.SERVICE_RESTART, this.elsewhere());
      }
    }
    if (this.all.size === 0) return;
    await within(lastWordsMsMax, new Promise<void>((resolve) => (this.onEmpty = resolve)));
  }

  /** What clients that are sent away are told: RFC 6455 leaves it 123 bytes. */
  private elsewhere(): string {
    const { config, otherEdges } = this.edge;
    const retry = `retry_after_ms=${config.drainRetryAfterMs}`;
    const url = otherEdges.nextUrl();
    return url === undefined ? retry : `${retry} edge=${url}`;
  }

  /** Accepts no more and drops what there is. */
  close(): void {
    this.isDraining = true;
    for (const connection of this.all) connection.drop();
  }
}

const drainSliceMs = 250;
/** For the answers to what clients have asked, and for them to hear that they are to go. */
const lastWordsMsMax = 5_000;
