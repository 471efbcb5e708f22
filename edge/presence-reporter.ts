/** Tells Presence which devices are connected to this edge. */
import {
  Report_Kind as Kind,
  PresenceService,
} from "../gen/parley/presence/v1/presence_service_pb.js";
import type { Clock } from "../mesh/clock.ts";
import { type Logger, silentLogger } from "../mesh/logger.ts";
import { rendezvous } from "../mesh/rendezvous.ts";
import type { Mesh } from "../mesh/rpc.ts";
import type { PresenceReporter } from "./devices.ts";
import { type ConnectedDevice, type DeviceReport, PresenceLink } from "./presence-link.ts";

/** What reporting needs. */
export interface LinkedPresenceReporterOptions {
  mesh: Pick<Mesh, "openStream" | "watchInstances">;
  /** The instance id under which the edge is registered as "parley.edge". */
  edgeId: string;
  /**
   * All devices that are connected now, for snapshots. Is read bit by bit while devices come and
   * go: each that is there all the time must come once, which a Map's iterator does.
   */
  listConnections(): Iterable<ConnectedDevice>;
  clock: Clock;
  log?: Logger;
  /** 0 to 1. */
  random?: () => number;
  /** To a request; default: as many as LinkRequest takes. */
  reportsMax?: number;
}

/**
 * Reports over one stream to each instance of Presence; a user's devices are reported to the
 * instance that owns the user. While there is none nothing is kept: the snapshot of the next
 * stream tells all.
 */
export class LinkedPresenceReporter implements PresenceReporter {
  private readonly options: LinkedPresenceReporterOptions;
  private readonly links = new Map<string, PresenceLink>();
  private instanceIds: readonly string[] = [];
  private isRunning = false;

  constructor(options: LinkedPresenceReporterOptions) {
    this.options = options;
  }

  /** Begins to follow the instances. Once. */
  start(): void {
    this.isRunning = true;
    this.options.mesh.watchInstances(PresenceService, (instanceIds) => {
      if (this.isRunning) this.follow(instanceIds);
    });
  }

  /** Ends all links. */
  stop(): void {
    this.isRunning = false;
    for (const link of this.links.values()) link.stop();
    this.links.clear();
    this.instanceIds = [];
  }

  attached(userId: string, deviceId: string): void {
    this.report({ kind: Kind.ATTACHED, userId, deviceId });
  }

  detached(userId: string, deviceId: string, heardMs: number): void {
    this.report({ kind: Kind.DETACHED, userId, deviceId, heardMs });
  }

  loggedOut(userId: string, deviceId: string): void {
    this.report({ kind: Kind.LOGGED_OUT, userId, deviceId });
  }

  private report(report: DeviceReport): void {
    const owner = rendezvous(report.userId, this.instanceIds);
    if (owner !== undefined) this.links.get(owner)?.add(report);
  }

  /** Every owner gets a snapshot of what is its own now. */
  private follow(instanceIds: readonly string[]): void {
    if (String(instanceIds) === String(this.instanceIds)) return;
    this.instanceIds = [...instanceIds];
    const reports = [...this.links.values()].flatMap((link) => link.takeReports());
    for (const [instanceId, link] of this.links) {
      if (instanceIds.includes(instanceId)) {
        link.sendSnapshot();
      } else {
        link.stop();
        this.links.delete(instanceId);
      }
    }
    for (const instanceId of instanceIds) {
      if (!this.links.has(instanceId)) this.links.set(instanceId, this.connect(instanceId));
    }
    for (const report of reports) this.report(report);
  }

  private connect(instanceId: string): PresenceLink {
    const { mesh, edgeId, clock, log = silentLogger, random = Math.random } = this.options;
    const { reportsMax } = this.options;
    return new PresenceLink({
      edgeId,
      instanceId,
      openStream: () => mesh.openStream(PresenceService.method.link, instanceId),
      listDevices: () => this.devicesOf(instanceId),
      clock,
      log,
      random,
      ...(reportsMax !== undefined && { reportsMax }),
    });
  }

  private *devicesOf(instanceId: string): Generator<ConnectedDevice> {
    for (const device of this.options.listConnections()) {
      if (rendezvous(device.userId, this.instanceIds) === instanceId) yield device;
    }
  }
}
