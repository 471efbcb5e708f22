/**
 * What a connection writes. Everything of one turn of the event loop leaves in one go, and inbox
 * entries in as few frames as they fit in. A client that reads slowly is never buffered for
 * without end: past the soft limit its inbox pauses until what waits has left, past the hard
 * limit it is given up.
 */
import type { FeedDelivery } from "../mesh/subject-feed-following.ts";
import type { EdgeContext } from "./edge-context.ts";
import type { FrameCodec, ServerFrameContent } from "./frame-codec.ts";
import type { FrameSocket } from "./frame-socket.ts";
import type { Flushable } from "./turn-flush.ts";

/** Told what becomes of the writing. */
export interface OutgoingOwner {
  /** The client takes inbox entries again. */
  onDrained(): void;
  /** More waits than may. */
  onOverflow(): void;
  /** A stored entry can't be decoded. */
  onFailure(error: unknown): void;
}

/** Deliveries frames are cut at this size; a larger entry travels alone. */
const deliveriesBytesMax = 512 * 1024;
/** What an entry needs in a frame besides its bytes, at most. */
const deliveryOverheadBytes = 32;

/** The writing half of a connection. */
export class Outgoing implements Flushable {
  /** Since when delivery has been paused, in monotonic milliseconds; 0: it is not. */
  laggingSinceMs = 0;
  private readonly edge: EdgeContext;
  private readonly socket: FrameSocket;
  private readonly codec: FrameCodec;
  private readonly owner: OutgoingOwner;
  private deliveries: FeedDelivery[] | undefined;
  private deliveryBytes = 0;
  private isCorked = false;
  private isOver = false;

  constructor(
    edge: EdgeContext,
    { socket, codec }: { socket: FrameSocket; codec: FrameCodec },
    owner: OutgoingOwner,
  ) {
    this.edge = edge;
    this.socket = socket;
    this.codec = codec;
    this.owner = owner;
  }

  /** The entry after which those come that are not handed to the socket yet; undefined: all are. */
  get writtenTo(): number | undefined {
    return this.deliveries?.[0]?.prevSequence;
  }

  /** Adds an inbox entry. False: none may follow before the owner's `onDrained`. */
  deliver(delivery: FeedDelivery): boolean {
    const bytes = delivery.data.length + deliveryOverheadBytes;
    if (this.deliveryBytes + bytes > deliveriesBytesMax) this.writeDeliveries();
    this.deliveries ??= [];
    this.deliveries.push(delivery);
    this.deliveryBytes += bytes;
    this.cork();
    const { config, clock, metrics } = this.edge;
    metrics.deliveries.inc();
    if (this.socket.bufferedAmount + this.deliveryBytes <= config.bufferSoftBytesMax) return true;
    this.laggingSinceMs ||= clock.monotonicMs();
    metrics.lagging.inc();
    return false;
  }

  /** Writes an encoded frame of a LIVE channel, which others share. False: as `deliver`. */
  sendShared(frame: Uint8Array | string): boolean {
    this.writeDeliveries();
    const { config, clock, metrics } = this.edge;
    metrics.deliveries.inc();
    const isLagging = this.laggingSinceMs !== 0;
    if (!isLagging && this.socket.bufferedAmount + frame.length <= config.bufferSoftBytesMax) {
      this.write(frame);
      return true;
    }
    if (!isLagging) metrics.lagging.inc();
    this.laggingSinceMs ||= clock.monotonicMs();
    this.write(frame, isLagging ? undefined : () => this.onWritten());
    return false;
  }

  /** Writes a frame, after all that was written before. */
  send(content: ServerFrameContent): void {
    this.writeDeliveries();
    this.write(this.codec.encode(content));
  }

  /** Writes an encoded parley.edge.v1.Event. */
  sendEvent(data: Uint8Array): void {
    this.writeDeliveries();
    this.write(this.codec.encodeEvent(data));
  }

  /** Writes no inbox entries any more: the connection closes, its device will come back for them. */
  discard(): void {
    this.isOver = true;
  }

  flush(): void {
    this.writeDeliveries();
    this.isCorked = false;
    this.socket.uncork();
  }

  /** Entries that can't be written stay, so that `writtenTo` is before them. */
  private writeDeliveries(): void {
    const { deliveries } = this;
    if (!deliveries || this.isOver || !this.hasRoom()) return;
    try {
      const frame = this.codec.encodeDeliveries(deliveries);
      this.deliveries = undefined;
      this.deliveryBytes = 0;
      if (this.laggingSinceMs === 0) this.put(frame);
      else this.put(frame, () => this.onWritten());
    } catch (error) {
      this.owner.onFailure(error);
    }
  }

  /** The last entry before a pause has left, and so has all before it. */
  private onWritten(): void {
    this.laggingSinceMs = 0;
    this.owner.onDrained();
  }

  private write(frame: Uint8Array | string, onWritten?: () => void): void {
    if (this.hasRoom()) this.put(frame, onWritten);
  }

  /** Whether anything more may wait; where not, the owner hears of it. */
  private hasRoom(): boolean {
    if (this.socket.bufferedAmount <= this.edge.config.bufferHardBytesMax) return true;
    this.owner.onOverflow();
    return false;
  }

  private put(frame: Uint8Array | string, onWritten?: () => void): void {
    this.cork();
    this.socket.send(frame, onWritten);
  }

  private cork(): void {
    if (this.isCorked) return;
    this.isCorked = true;
    this.socket.cork();
    this.edge.turnFlush.add(this);
  }
}
