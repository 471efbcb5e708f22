/**
 * When the absence of a user's devices may be taken for "offline". An instance that has just
 * started, or has become the owner of users with a change of the instances, knows nothing of
 * those who are connected to edges that it has not heard yet. It is *settled* when every
 * registered edge has sent its snapshot and the grace time has passed since its start or the last
 * change, in which edges learn of the change and send anew; and since the latest snapshot or the
 * end of an edge without one, as devices may have left just before.
 */
import type { Clock, Timer } from "../../mesh/clock.ts";
import { rendezvous } from "../../mesh/rendezvous.ts";

/** What settling needs. */
export interface SettlingOptions {
  clock: Clock;
  graceMs: number;
  /** This instance. */
  instanceId: string;
  /** Called each time when it has settled. */
  onSettled(): void;
}

/** Changes of the instances within one grace time; past it nobody is called offline till the end. */
const setsMax = 16;

/** Knows which users are this instance's, and whose absence it can judge. */
export class Settling {
  private readonly options: SettlingOptions;
  private instanceIds: readonly string[] = [];
  /**
   * The instances when it last settled, and all sets of them since: whose owner it was under each
   * it has judged all the time. Empty: it can't judge.
   */
  private judged: (readonly string[])[] = [];
  /** Undefined: the registry has not answered yet. */
  private registeredEdges: readonly string[] | undefined;
  private readonly reportedEdges = new Set<string>();
  private waitsSinceMs = 0;
  private timer: Timer | undefined;

  constructor(options: SettlingOptions) {
    this.options = options;
    this.wait();
  }

  /** Whether the user belongs to this instance. */
  owns(userId: string): boolean {
    return this.ownsAmong(this.instanceIds, userId);
  }

  /** Whether the user is this instance's and offline if it has no device. */
  canTellOffline(userId: string): boolean {
    return this.judged.length > 0 && this.judged.every((ids) => this.ownsAmong(ids, userId));
  }

  /** These instances of Presence share the users. */
  setInstances(instanceIds: readonly string[]): void {
    if (sameIds(instanceIds, this.instanceIds)) return;
    this.instanceIds = [...instanceIds];
    if (this.judged.length > 0) this.judged.push(this.instanceIds);
    if (this.judged.length > setsMax) this.judged = [];
    this.wait();
  }

  /** These edges are registered. */
  setEdges(edgeIds: readonly string[]): void {
    const gone = this.registeredEdges?.filter((edgeId) => !edgeIds.includes(edgeId)) ?? [];
    this.registeredEdges = edgeIds;
    if (gone.some((edgeId) => !this.reportedEdges.has(edgeId))) this.wait();
    this.check();
  }

  /** The edge has named all its devices. */
  edgeReported(edgeId: string): void {
    this.reportedEdges.add(edgeId);
    if (!this.isSettled) this.wait();
    this.check();
  }

  /** The edge must name its devices again. */
  edgeLost(edgeId: string): void {
    this.reportedEdges.delete(edgeId);
  }

  /** It settles no more. */
  stop(): void {
    this.timer?.cancel();
    this.judged = [];
    this.registeredEdges = undefined;
  }

  private ownsAmong(instanceIds: readonly string[], userId: string): boolean {
    return rendezvous(userId, instanceIds) === this.options.instanceId;
  }

  private get isSettled(): boolean {
    return this.judged.length === 1;
  }

  /** Anew for the grace time. */
  private wait(): void {
    const { clock, graceMs } = this.options;
    this.waitsSinceMs = clock.monotonicMs();
    this.timer?.cancel();
    this.timer = clock.setTimer(graceMs, () => this.check());
  }

  private check(): void {
    if (this.isSettled) return;
    const { clock, graceMs, onSettled } = this.options;
    if (clock.monotonicMs() < this.waitsSinceMs + graceMs) return;
    if (!this.registeredEdges?.every((edgeId) => this.reportedEdges.has(edgeId))) return;
    this.judged = [this.instanceIds];
    onSettled();
  }
}

function sameIds(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id));
}
