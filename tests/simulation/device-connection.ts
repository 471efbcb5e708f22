import type { FeedDelivery, Follower, ResetReason } from "../../mesh/subject-feed-following.ts";
import type { Edge } from "./cluster.ts";
import type { Device } from "./device.ts";
import { Lane } from "./simulated-process.ts";

/** The share of deliveries after which a device takes no more for a while. */
const slowShare = 0.02;
/** How soon a device or an edge notices that the other is gone. */
const noticeMs = 1_000;

/** Connects a device, again and again, until the run is over. */
export async function stayConnected(device: Device): Promise<void> {
  const { world } = device;
  const { time, random } = world;
  for (;;) {
    await time.sleep(random.unit() * random.pick([200, 5_000]));
    const { edges } = world.cluster;
    if (edges.length === 0) continue;
    const connection = new Connection(device, random.pick(edges));
    await new Promise<void>((leave) => {
      device.onForgotten = leave;
      connection.edge.process.onDeath(() => time.schedule(random.unit() * noticeMs, leave));
      time.schedule(random.unit() * 15_000, () => {
        if (!world.isSettling) leave();
      });
    });
    connection.close();
  }
}

/** One socket: what the edge sends arrives in order, until it breaks. */
class Connection implements Follower {
  readonly edge: Edge;
  private readonly device: Device;
  private readonly lane: Lane;
  private isOpen = true;
  private following: ReturnType<Edge["feeds"]["follow"]> | undefined;

  constructor(device: Device, edge: Edge) {
    this.device = device;
    this.edge = edge;
    const { time, faults } = device.world;
    this.lane = new Lane(time);
    edge.process.later(faults.hopMs(), () => {
      if (this.isOpen) this.following = edge.feeds.follow(device.userId, device.position, this);
    });
  }

  close(): void {
    const { edge, device } = this;
    this.isOpen = false;
    device.isCaughtUp = false;
    edge.process.later(device.world.random.unit() * noticeMs, () => {
      if (this.following) edge.feeds.stop(this.following);
    });
  }

  deliver(delivery: FeedDelivery): boolean {
    const { device, edge } = this;
    const { random } = device.world;
    this.send(() => device.deliver(delivery));
    if (!random.chance(slowShare)) return true;
    edge.process.later(random.unit() * 500, () => edge.feeds.resume(this.following!));
    return false;
  }

  caughtUp(): void {
    this.send(() => {
      this.device.isCaughtUp = true;
    });
  }

  reset(reason: ResetReason, sequence: number): void {
    const epoch = this.edge.feeds.epoch(this.device.userId);
    this.send(() => this.device.reset(reason, { epoch, sequence }));
  }

  event(): void {}

  private send(arrive: () => void): void {
    const { time, faults } = this.device.world;
    time.scheduleAt(this.lane.dueMs(faults.hopMs()), () => {
      if (this.isOpen) arrive();
    });
  }
}
