/**
 * Who is connected where, as edges report it, and what follows for each user: the states of
 * attachments, edges and users in docs/PRESENCE.md, in its words.
 *
 * A device's connection to an edge is an *attachment*. It is CONNECTED until the edge reports its
 * end, then IN GRACE until it is back or its grace time is over. An edge is LINKED until it is
 * lost, then LOST, with all its attachments, until it is back or its grace time is over. A user is
 * ONLINE while there is any attachment. What was silent before its end has used up so much of its
 * grace time by then.
 */
import type { Clock, Timer } from "../../mesh/clock.ts";
import { type Due, DueQueue } from "../../mesh/due-queue.ts";

/** What the state needs. */
export interface PresenceStateOptions {
  clock: Clock;
  graceMs: number;
  /** A user came or went. */
  onChange(userId: string, isOnline: boolean, lastActiveMs: number): void;
}

/** Attachments that end in one turn of the event loop; the rest of a lost edge's follow. */
const endsMax = 1_000;

interface User {
  readonly attachments: Attachment[];
  /** As far as it doesn't follow from those that are connected. By the wall clock. */
  lastActiveMs: number;
}

/** In the queue while it is IN GRACE. */
interface Attachment extends Due {
  readonly userId: string;
  readonly deviceId: string;
  readonly edge: Edge;
  /** The latest snapshot that named it, or during which it came. */
  snapshot: number;
}

/** In the queue while it is LOST. */
class Edge implements Due {
  dueMs = 0;
  dueIndex = -1;
  readonly edgeId: string;
  readonly attachments = new Set<Attachment>();
  /** By the wall clock. */
  lastHeardMs: number;
  /** Counts its snapshots. */
  snapshot = 0;

  constructor(edgeId: string, lastHeardMs: number) {
    this.edgeId = edgeId;
    this.lastHeardMs = lastHeardMs;
  }
}

/** The devices of the users that this instance hears of. */
export class PresenceState {
  private readonly options: PresenceStateOptions;
  private readonly users = new Map<string, User>();
  private readonly edges = new Map<string, Edge>();
  private readonly inGrace = new DueQueue<Attachment | Edge>();
  private timer: Timer | undefined;
  private timerDueMs = 0;
  private latestMs = 0;

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

  /**
   * Until when a device of the user is known to have been connected, by the wall clock; undefined:
   * not online. Never earlier than before.
   */
  lastActiveMs(userId: string): number | undefined {
    const user = this.users.get(userId);
    if (!user) return undefined;
    const connected = user.attachments.filter(isConnected);
    return Math.max(user.lastActiveMs, ...connected.map(({ edge }) => edge.lastHeardMs));
  }

  /** The edge is there, or is back: as long as it doesn't say otherwise with all its devices. */
  hear(edgeId: string): void {
    const edge = this.edge(edgeId);
    edge.lastHeardMs = this.nowMs();
    this.inGrace.remove(edge);
  }

  /** A device is connected to an edge. Said again, it changes nothing. */
  attach(edgeId: string, userId: string, deviceId: string): void {
    const edge = this.edge(edgeId);
    const known = this.find(edgeId, userId, deviceId);
    if (known) {
      known.snapshot = edge.snapshot;
      this.inGrace.remove(known);
      return;
    }
    const { snapshot } = edge;
    const attachment = { userId, deviceId, edge, snapshot, dueMs: 0, dueIndex: -1 };
    edge.attachments.add(attachment);
    const user = this.users.get(userId);
    if (user) {
      user.attachments.push(attachment);
    } else {
      const lastActiveMs = this.nowMs();
      this.users.set(userId, { attachments: [attachment], lastActiveMs });
      this.options.onChange(userId, true, lastActiveMs);
    }
  }

  /**
   * A device's connection to an edge has ended, after the device was silent for `silentMs`: of its
   * grace time the rest begins.
   */
  detach(edgeId: string, userId: string, deviceId: string, silentMs = 0): void {
    const attachment = this.find(edgeId, userId, deviceId);
    if (attachment && isConnected(attachment)) this.beginGrace(attachment, silentMs);
  }

  /** A device has logged out: no grace, wherever it was connected. */
  logOut(userId: string, deviceId: string): void {
    const user = this.users.get(userId);
    if (!user) return;
    const ended = user.attachments.filter((known) => known.deviceId === deviceId);
    if (ended.length > 0) user.lastActiveMs = this.nowMs();
    for (const attachment of ended) this.end(attachment);
  }

  /** The edge begins to name all its devices. */
  beginSnapshot(edgeId: string): void {
    this.edge(edgeId).snapshot++;
  }

  /**
   * The edge has named all its devices: the grace time of those that it did not name begins.
   * When each left it doesn't tell, so that nobody is called offline too early.
   */
  endSnapshot(edgeId: string): void {
    const edge = this.edge(edgeId);
    for (const attachment of edge.attachments) {
      const isNamed = attachment.snapshot === edge.snapshot;
      if (!isNamed && isConnected(attachment)) this.beginGrace(attachment, 0);
    }
  }

  /** The edge is lost, after it was silent for `silentMs`: of its grace time the rest begins. */
  loseEdge(edgeId: string, silentMs = 0): void {
    const edge = this.edges.get(edgeId);
    if (!edge || edge.dueIndex >= 0) return;
    this.await(edge, silentMs);
    this.forgetIfGone(edge);
  }

  /** Nothing ends any more. */
  stop(): void {
    this.timer?.cancel();
  }

  private edge(edgeId: string): Edge {
    let edge = this.edges.get(edgeId);
    if (!edge) {
      edge = new Edge(edgeId, this.nowMs());
      this.edges.set(edgeId, edge);
    }
    return edge;
  }

  private find(edgeId: string, userId: string, deviceId: string): Attachment | undefined {
    return this.users
      .get(userId)
      ?.attachments.find((known) => known.deviceId === deviceId && known.edge.edgeId === edgeId);
  }

  /** What users were told to be the time is never taken back, whatever the wall clock does. */
  private nowMs(): number {
    this.latestMs = Math.max(this.latestMs, this.options.clock.nowMs());
    return this.latestMs;
  }

  private beginGrace(attachment: Attachment, silentMs: number): void {
    this.users.get(attachment.userId)!.lastActiveMs = this.nowMs();
    this.await(attachment, silentMs);
  }

  private await(item: Attachment | Edge, silentMs: number): void {
    const { clock, graceMs } = this.options;
    this.inGrace.add(item, clock.monotonicMs() + graceMs - silentMs);
    this.schedule();
  }

  private schedule(): void {
    const { first } = this.inGrace;
    if (!first || (this.timer && this.timerDueMs <= first.dueMs)) return;
    const { clock } = this.options;
    this.timer?.cancel();
    this.timerDueMs = first.dueMs;
    this.timer = clock.setTimer(Math.max(0, first.dueMs - clock.monotonicMs()), this.onTimer);
  }

  private readonly onTimer = (): void => {
    this.timer = undefined;
    const nowMs = this.options.clock.monotonicMs();
    for (let left = endsMax; left > 0; ) {
      const { first } = this.inGrace;
      if (!first || first.dueMs > nowMs) break;
      for (const attachment of first instanceof Edge ? first.attachments : [first]) {
        this.end(attachment);
        if (--left === 0) break;
      }
    }
    this.schedule();
  };

  private end(attachment: Attachment): void {
    const { userId, edge } = attachment;
    const user = this.users.get(userId)!;
    if (isConnected(attachment)) user.lastActiveMs = Math.max(user.lastActiveMs, edge.lastHeardMs);
    this.inGrace.remove(attachment);
    edge.attachments.delete(attachment);
    this.forgetIfGone(edge);
    user.attachments.splice(user.attachments.indexOf(attachment), 1);
    if (user.attachments.length > 0) return;
    this.users.delete(userId);
    this.options.onChange(userId, false, user.lastActiveMs);
  }

  private forgetIfGone(edge: Edge): void {
    if (edge.dueIndex < 0 || edge.attachments.size > 0) return;
    this.inGrace.remove(edge);
    this.edges.delete(edge.edgeId);
  }
}

/** As far as its edge has said. */
function isConnected({ dueIndex }: Attachment): boolean {
  return dueIndex < 0;
}
