/**
 * When the absence of a user's devices may be taken for "offline". An instance that has just
 * started, or has become the owner of users with a change of the instances, knows nothing of
 * those who are connected to edges that it has not heard yet. It is *settled* when every
 * registered edge has sent its snapshot and the grace time has passed since its start or the last
 * change, in which edges learn of the change and send anew.
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

/** Knows which users are this instance's, and whose absence it can judge. */
export class Settling {
  private readonly options: SettlingOptions;
  private instanceIds: readonly string[] = [];
  /** The instances when it last settled: it has judged its share of theirs all the time since. */
  private settledIds: readonly string[] | undefined;
  /** Undefined: the registry has not answered yet. */
  private registeredEdges: readonly string[] | undefined;
  private readonly reportedEdges = new Set<string>();
  private changeMs: number;
  private timer: Timer | undefined;

  constructor(options: SettlingOptions) {
    this.options = options;
    this.changeMs = options.clock.monotonicMs();
    this.schedule();
  }

  /** Whether the user belongs to this instance. */
  owns(userId: string): boolean {
    return rendezvous(userId, this.instanceIds) === this.options.instanceId;
  }

  /** Whether the user is this instance's and offline if it has no device. */
  canTellOffline(userId: string): boolean {
    if (!this.settledIds || !this.owns(userId)) return false;
    if (this.settledIds === this.instanceIds) return true;
    return rendezvous(userId, this.settledIds) === this.options.instanceId;
  }

  /** These instances of Presence share the users. */
  setInstances(instanceIds: readonly string[]): void {
    if (sameIds(instanceIds, this.instanceIds)) return;
    this.instanceIds = [...instanceIds];
    this.changeMs = this.options.clock.monotonicMs();
    this.schedule();
  }

  /** These edges are registered. */
  setEdges(edgeIds: readonly string[]): void {
    this.registeredEdges = edgeIds;
    this.check();
  }

  /** The edge has named all its devices. */
  edgeReported(edgeId: string): void {
    this.reportedEdges.add(edgeId);
    this.check();
  }

  /** The edge must name its devices again. */
  edgeLost(edgeId: string): void {
    this.reportedEdges.delete(edgeId);
  }

  /** It settles no more. */
  stop(): void {
    this.timer?.cancel();
    this.settledIds = undefined;
    this.registeredEdges = undefined;
  }

  private schedule(): void {
    const { clock, graceMs } = this.options;
    this.timer?.cancel();
    this.timer = clock.setTimer(graceMs, () => this.check());
  }

  private check(): void {
    if (this.settledIds === this.instanceIds) return;
    const { clock, graceMs, onSettled } = this.options;
    if (clock.monotonicMs() < this.changeMs + graceMs) return;
    if (!this.registeredEdges?.every((edgeId) => this.reportedEdges.has(edgeId))) return;
    this.settledIds = this.instanceIds;
    onSettled();
  }
}

function sameIds(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id));
}
