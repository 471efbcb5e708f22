/** An edge as far as Presence knows it: connections that come and go, and the reporter of edges. */
import type { ConnectedDevice } from "../../edge/presence-link.ts";
import { LinkedPresenceReporter } from "../../edge/presence-reporter.ts";
import type { Clock } from "../../mesh/clock.ts";
import type { Registration } from "../../mesh/registry.ts";
import {
  machineClock,
  type PresenceCluster,
  settle,
} from "../../services/presence/presence-under-test.ts";

/** How it differs from others. */
export interface EdgeOptions {
  /** Its machine's clock is ahead. */
  aheadMs?: number;
  /** Reports to a request: with few a snapshot takes several. */
  reportsMax?: number;
}

/** One edge. */
export class Edge {
  readonly edgeId: string;
  readonly connections: Map<string, ConnectedDevice> = new Map();
  private readonly clock: Clock;
  private readonly reporter: LinkedPresenceReporter;
  private registration: Registration | undefined;

  constructor(cluster: PresenceCluster, edgeId: string, options: EdgeOptions = {}) {
    const { aheadMs = 0, reportsMax } = options;
    this.edgeId = edgeId;
    this.clock = machineClock(cluster.clock, aheadMs);
    this.reporter = new LinkedPresenceReporter({
      mesh: cluster.mesh,
      edgeId,
      listConnections: () => this.connections.values(),
      clock: this.clock,
      random: () => 1,
      ...(reportsMax !== undefined && { reportsMax }),
    });
  }

  /** Registers it and begins to report. */
  async start(cluster: PresenceCluster): Promise<void> {
    const instance = { service: "parley.edge", address: "", metadata: {} };
    this.registration = await cluster.registry.register({ instanceId: this.edgeId, ...instance });
    this.reporter.start();
    await settle();
  }

  /** A device connects, unless it is connected. */
  connect(userId: string, deviceId = "phone"): void {
    const key = `${userId}/${deviceId}`;
    if (this.connections.has(key)) return;
    this.connections.set(key, { userId, deviceId });
    this.reporter.attached(userId, deviceId);
  }

  /** A device's connection ends, if it has one, after it was silent for so long. */
  disconnect(userId: string, deviceId = "phone", silentMs = 0): void {
    if (!this.connections.delete(`${userId}/${deviceId}`)) return;
    this.reporter.detached(userId, deviceId, this.clock.monotonicMs() - silentMs);
  }

  /** A device logs out. */
  logOut(userId: string, deviceId = "phone"): void {
    if (!this.connections.delete(`${userId}/${deviceId}`)) return;
    this.reporter.loggedOut(userId, deviceId);
  }

  /** The process ends without a word. */
  async kill(): Promise<void> {
    this.connections.clear();
    this.reporter.stop();
    await this.registration?.deregister();
  }
}
