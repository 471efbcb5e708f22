/**
 * Who is connected where, as edges report it, and what follows for each user.
 *
 * A device's connection to an edge is an *attachment*. It is live until the edge reports its end
 * or is lost itself; then the grace time begins, in which it can come back. A user is online
 * while there is any attachment, live or in grace. As the grace time is the same for all,
 * attachments end in the order in which they entered it: one queue and one timer are enough.
 */
import type { Clock, Timer } from "../../mesh/clock.ts";

/** What the state needs. */
export interface PresenceStateOptions {
  clock: Clock;
  graceMs: number;
  /** A user came or went. */
  onChange(userId: string, isOnline: boolean, lastActiveMs: number): void;
}

/** Attachments that end in one turn of the event loop; the rest of a lost edge's follow. */
const endsMax = 1_000;

interface Edge {
  readonly edgeId: string;
  readonly attachments: Set<Attachment>;
  /** Wall clock. */
  lastHeardMs: number;
  /** Counts the snapshots of this edge. */
  snapshot: number;
  isLost: boolean;
}

interface Attachment {
  readonly userId: string;
  readonly deviceId: string;
  readonly edge: Edge;
  /** The latest snapshot that named it, or during which it came. */
  snapshot: number;
  /** When the grace time ends, by the monotonic clock; 0: it is live. */
  graceEndMs: number;
  /** When it was last live, by the wall clock; unset while it is. */
  lastLiveMs: number;
}

/** The devices of the users that this instance hears of. */
export class PresenceState {
  private readonly options: PresenceStateOptions;
  private readonly users = new Map<string, Attachment[]>();
  private readonly edges = new Map<string, Edge>();
  /** Ordered by `graceEndMs`: a set keeps the order of insertion. */
  private readonly inGrace = new Set<Attachment>();
  private timer: Timer | undefined;

  constructor(options: PresenceStateOptions) {
    this.options = options;
  }

  /** The users that are online. */
  get userIds(): Iterable<string> {
    return this.users.keys();
  }

  /** Whether the user has a device that is connected, or was within the grace time. */
  isOnline(userId: string): boolean {
    return this.users.has(userId);
  }

  /** When a device of the user was last heard of, by the wall clock; undefined: not online. */
  lastActiveMs(userId: string): number | undefined {
    const attachments = this.users.get(userId);
    if (!attachments) return undefined;
    return Math.max(...attachments.map(lastHeardMs));
  }

  /** The edge is there. */
  hear(edgeId: string): void {
    this.edge(edgeId).lastHeardMs = this.options.clock.nowMs();
  }

  /** A device is connected to an edge. Said again, it changes nothing. */
  attach(edgeId: string, userId: string, deviceId: string): void {
    const edge = this.edge(edgeId);
    const known = this.find(edge, userId, deviceId);
    if (known) {
      known.snapshot = edge.snapshot;
      known.graceEndMs = 0;
      this.inGrace.delete(known);
      return;
    }
    const { snapshot } = edge;
    const attachment = { userId, deviceId, edge, snapshot, graceEndMs: 0, lastLiveMs: 0 };
    edge.attachments.add(attachment);
    const others = this.users.get(userId);
    if (others) {
      others.push(attachment);
    } else {
      this.users.set(userId, [attachment]);
      this.options.onChange(userId, true, this.options.clock.nowMs());
    }
  }

  /** A device's connection to an edge has ended: its grace time begins. */
  detach(edgeId: string, userId: string, deviceId: string): void {
    const attachment = this.find(this.edge(edgeId), userId, deviceId);
    if (attachment) this.beginGrace(attachment, this.options.clock.nowMs());
  }

  /** A device has logged out: no grace, wherever it was connected. */
  logOut(userId: string, deviceId: string): void {
    const ended = this.users.get(userId)?.filter((known) => known.deviceId === deviceId) ?? [];
    for (const attachment of ended) this.end(attachment, this.options.clock.nowMs());
  }

  /** The edge begins to name all its devices. */
  beginSnapshot(edgeId: string): void {
    const edge = this.edge(edgeId);
    edge.isLost = false;
    edge.snapshot++;
  }

  /** The edge has named all its devices: what it did not name since is not connected to it. */
  endSnapshot(edgeId: string): void {
    const edge = this.edge(edgeId);
    const nowMs = this.options.clock.nowMs();
    for (const attachment of edge.attachments) {
      if (attachment.snapshot !== edge.snapshot) this.beginGrace(attachment, nowMs);
    }
  }

  /** The edge is not heard any more: the grace time of its devices begins. */
  loseEdge(edgeId: string): void {
    const edge = this.edge(edgeId);
    edge.isLost = true;
    for (const attachment of edge.attachments) this.beginGrace(attachment, edge.lastHeardMs);
    this.forgetIfGone(edge);
  }

  /** Nothing ends any more. */
  stop(): void {
    this.timer?.cancel();
  }

  private edge(edgeId: string): Edge {
    let edge = this.edges.get(edgeId);
    if (!edge) {
      const lastHeardMs = this.options.clock.nowMs();
      edge = { edgeId, attachments: new Set(), lastHeardMs, snapshot: 0, isLost: false };
      this.edges.set(edgeId, edge);
    }
    return edge;
  }

  private find(edge: Edge, userId: string, deviceId: string): Attachment | undefined {
    return this.users
      .get(userId)
      ?.find((known) => known.deviceId === deviceId && known.edge === edge);
  }

  private beginGrace(attachment: Attachment, lastLiveMs: number): void {
    if (attachment.graceEndMs > 0) return;
    attachment.lastLiveMs = lastLiveMs;
    attachment.graceEndMs = this.options.clock.monotonicMs() + this.options.graceMs;
    this.inGrace.add(attachment);
    this.timer ??= this.options.clock.setTimer(this.options.graceMs, this.onTimer);
  }

  private readonly onTimer = (): void => {
    const { clock } = this.options;
    let ends = 0;
    this.timer = undefined;
    for (const attachment of this.inGrace) {
      const leftMs = attachment.graceEndMs - clock.monotonicMs();
      if (leftMs > 0 || ends++ >= endsMax) {
        this.timer = clock.setTimer(Math.max(0, leftMs), this.onTimer);
        return;
      }
      this.end(attachment, attachment.lastLiveMs);
    }
  };

  private end(attachment: Attachment, lastActiveMs: number): void {
    const { userId, edge } = attachment;
    this.inGrace.delete(attachment);
    edge.attachments.delete(attachment);
    this.forgetIfGone(edge);
    const others = this.users.get(userId)!.filter((known) => known !== attachment);
    if (others.length > 0) {
      this.users.set(userId, others);
    } else {
      this.users.delete(userId);
      this.options.onChange(userId, false, lastActiveMs);
    }
  }

  private forgetIfGone(edge: Edge): void {
    if (edge.isLost && edge.attachments.size === 0) this.edges.delete(edge.edgeId);
  }
}

function lastHeardMs({ graceEndMs, lastLiveMs, edge }: Attachment): number {
  return graceEndMs > 0 ? lastLiveMs : edge.lastHeardMs;
}
