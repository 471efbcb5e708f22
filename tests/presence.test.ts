/** Edges' reporters and Presence instances together, over streams in memory. */
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import type { ConnectedDevice } from "../edge/presence-link.ts";
import { LinkedPresenceReporter } from "../edge/presence-reporter.ts";
import type { Registration } from "../mesh/registry.ts";
import { rendezvous } from "../mesh/rendezvous.ts";
import { config, PresenceCluster, settle } from "../services/presence/presence-under-test.ts";

/** An edge as far as Presence knows it. */
class Edge {
  readonly edgeId: string;
  readonly connections = new Map<string, ConnectedDevice>();
  private readonly reporter: LinkedPresenceReporter;
  private registration: Registration | undefined;

  constructor(cluster: PresenceCluster, edgeId: string) {
    this.edgeId = edgeId;
    const { mesh, clock } = cluster;
    this.reporter = new LinkedPresenceReporter({
      mesh,
      edgeId,
      listConnections: () => this.connections.values(),
      clock,
      random: () => 1,
    });
  }

  async start(cluster: PresenceCluster): Promise<void> {
    const instance = { service: "parley.edge", address: "", metadata: {} };
    this.registration = await cluster.registry.register({ instanceId: this.edgeId, ...instance });
    this.reporter.start();
    await settle();
  }

  connect(userId: string, deviceId = "phone"): void {
    const key = `${userId}/${deviceId}`;
    if (this.connections.has(key)) return;
    this.connections.set(key, { userId, deviceId });
    this.reporter.attached(userId, deviceId);
  }

  disconnect(userId: string, deviceId = "phone", isLogOut = false): void {
    if (!this.connections.delete(`${userId}/${deviceId}`)) return;
    if (isLogOut) this.reporter.loggedOut(userId, deviceId);
    else this.reporter.detached(userId, deviceId);
  }

  /** The process ends without a word. */
  async kill(): Promise<void> {
    this.connections.clear();
    this.reporter.stop();
    await this.registration?.deregister();
  }
}

const { graceMs } = config;

describe("edges and Presence", () => {
  let cluster: PresenceCluster;
  let edge: Edge;

  beforeEach(async () => {
    cluster = new PresenceCluster();
    for (const userId of ["anna", "ben", "carl"]) cluster.friends.set(userId, ["watcher"]);
    cluster.start("p1");
    edge = await startEdge("edge-1");
    await cluster.advance(graceMs);
  });

  async function startEdge(edgeId: string): Promise<Edge> {
    const started = new Edge(cluster, edgeId);
    await started.start(cluster);
    return started;
  }

  it("[P1] [P3] a connection is told to friends in the same second", async () => {
    edge.connect("anna");
    await settle();
    expect(cluster.told).toEqual(["anna online → watcher"]);
  });

  it("[P2] a log-out is told at once, a lost connection after the grace time", async () => {
    edge.connect("anna");
    edge.connect("ben");
    await settle();
    edge.disconnect("anna", "phone", true);
    edge.disconnect("ben");
    await settle();
    expect(cluster.told.at(-1)).toBe("anna offline → watcher");
    await cluster.advance(graceMs);
    expect(cluster.told.at(-1)).toBe("ben offline → watcher");
  });

  it("[P2] an idle edge keeps its users online with beats alone", async () => {
    edge.connect("anna");
    await cluster.advance(10 * graceMs);
    expect(cluster.told).toEqual(["anna online → watcher"]);
  });

  it("[P2] a broken stream is opened again, and nobody flickers", async () => {
    edge.connect("anna");
    await settle();
    for (let i = 0; i < 5; i++) {
      cluster.cut("p1");
      await cluster.advance(7_000);
    }
    await cluster.advance(2 * graceMs);
    expect(cluster.told).toEqual(["anna online → watcher"]);
  });

  it("[P2] a log-out while the stream is broken is told when it is open again", async () => {
    edge.connect("anna");
    await settle();
    cluster.cut("p1");
    edge.disconnect("anna", "phone", true);
    await cluster.advance(2_000);
    expect(cluster.told.at(-1)).toBe("anna offline → watcher");
  });

  it("[P5] a dead edge's users go offline, but for those who connected elsewhere", async () => {
    const other = await startEdge("edge-2");
    edge.connect("anna");
    edge.connect("ben");
    await settle();
    await edge.kill();
    other.connect("anna");
    await cluster.advance(graceMs);
    expect(cluster.told).toEqual([
      "anna online → watcher",
      "ben online → watcher",
      "ben offline → watcher",
    ]);
  });

  it("[P5] users move to a new instance without a word to anybody", async () => {
    const userIds = Array.from({ length: 3_000 }, (_, i) => `user-${i}`);
    for (const userId of userIds) edge.connect(userId);
    cluster.friends.set("user-7", ["watcher"]);
    await cluster.advance(5_000);
    cluster.told.length = 0;
    cluster.start("p2");
    await cluster.advance(3 * graceMs);
    expect(cluster.told).toEqual([]);
    const moved = userIds.filter((userId) => rendezvous(userId, ["p1", "p2"]) === "p2");
    expect(moved.length).toBeGreaterThan(1_000);
    expect(await cluster.statuses("p1", moved.slice(0, 100))).toEqual(
      moved.slice(0, 100).map(() => "ONLINE"),
    );
  });

  it("[P5] a killed instance's users are taken over, those who left meanwhile included", async () => {
    cluster.start("p2");
    for (let i = 0; i < 50; i++) {
      edge.connect(`user-${i}`);
      cluster.friends.set(`user-${i}`, ["watcher"]);
    }
    await cluster.advance(2 * graceMs);
    cluster.told.length = 0;
    for (let i = 0; i < 10; i++) edge.disconnect(`user-${i}`);
    await cluster.advance(3_000);
    cluster.kill("p2");
    await cluster.advance(2 * graceMs);
    expect(cluster.told.sort()).toEqual(
      Array.from({ length: 10 }, (_, i) => `user-${i} offline → watcher`),
    );
  });

  it("[P5] whatever breaks, nobody connected is called offline, and all is right in the end", async () => {
    const edgeIds = ["edge-1", "edge-2"];
    const users = ["anna", "ben", "carl"];
    const step = fc.record({
      kind: fc.constantFrom(
        ...["connect", "connect", "connect", "disconnect", "disconnect", "logOut"],
        ...["startInstance", "killInstance", "cut", "killEdge"],
      ),
      edge: fc.nat(edgeIds.length - 1),
      user: fc.constantFrom(...users),
      device: fc.constantFrom("phone", "laptop"),
      instance: fc.nat(2),
      afterMs: fc.constantFrom(0, 0, 100, 4_000, 20_000, 40_000),
    });
    // Who learns when of a change of the instances.
    const lagMaxMs = 6_000;
    // As long as it takes to learn of another instance, and to open a stream to it.
    const logOutDelayMs = lagMaxMs + 5_000;
    const lags = fc.array(fc.nat(lagMaxMs), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), lags, async (steps, lagsMs) => {
        cluster = new PresenceCluster();
        cluster.watchLagMs = (watcher) => lagsMs[watcher % lagsMs.length]!;
        for (const user of users) cluster.friends.set(user, ["watcher"]);
        // An id is never used again, as with real processes.
        const instances = ["p0"];
        cluster.start("p0");
        let generation = 0;
        const edges = await Promise.all(edgeIds.map(startEdge));
        const connections = () => edges.flatMap((edge) => [...edge.connections.values()]);
        const isConnected = (user: string) => connections().some(({ userId }) => userId === user);
        /** By user and device; a log-out has no grace. */
        const lastSeenMs = new Map<string, number>();
        const loggedOutMs = new Map<string, number>();
        /** By user and device, whose id is new after each, as with real log-ins. */
        const logOuts = new Map<string, number>();
        const lastTold = new Map<string, string>();
        const flickers: string[] = [];
        cluster.onTold = (told) => {
          const [user, status] = told.split(" ");
          const nowMs = cluster.clock.nowMs();
          const isGrace = lastSeenMs
            .entries()
            .some(([key, seenMs]) => key.startsWith(`${user}/`) && nowMs - seenMs < graceMs);
          // A log-out may overtake the word of another edge that the user is there.
          const isLogOut = nowMs - (loggedOutMs.get(user!) ?? -Infinity) <= logOutDelayMs;
          const isEarly = (isConnected(user!) || isGrace) && !isLogOut;
          if (status === "offline" && isEarly) flickers.push(user!);
          lastTold.set(user!, status!);
        };
        for (const { kind, edge: at, user, device, instance, afterMs } of steps) {
          const target = edges[at]!;
          for (const { userId, deviceId } of connections()) {
            lastSeenMs.set(`${userId}/${deviceId}`, cluster.clock.nowMs());
          }
          const timesOut = logOuts.get(`${user}/${device}`) ?? 0;
          const deviceId = `${device}-${timesOut}`;
          if (kind === "connect") target.connect(user, deviceId);
          if (kind === "disconnect") target.disconnect(user, deviceId);
          if (kind === "logOut") {
            loggedOutMs.set(user, cluster.clock.nowMs());
            logOuts.set(`${user}/${device}`, timesOut + 1);
            lastSeenMs.delete(`${user}/${deviceId}`);
            // It is cut off wherever it is connected.
            for (const edge of edges) edge.disconnect(user, deviceId, true);
          }
          const instanceId = instances[instance % instances.length]!;
          if (kind === "startInstance" && instances.length < 3) {
            instances.push(`p${++generation}`);
            cluster.start(instances.at(-1)!);
          }
          if (kind === "killInstance" && instances.length > 1) {
            instances.splice(instances.indexOf(instanceId), 1);
            cluster.kill(instanceId);
          }
          if (kind === "cut") cluster.cut(instanceId);
          if (kind === "killEdge") {
            await target.kill();
            edges[at] = await startEdge(`edge-${at}-${++generation}`);
          }
          await settle(2);
          if (afterMs > 0) await cluster.advance(afterMs);
        }
        await cluster.advance(3 * graceMs);
        expect(flickers).toEqual([]);
        const statuses = await cluster.statuses(instances[0]!, users);
        expect(statuses).toEqual(users.map((user) => (isConnected(user) ? "ONLINE" : "OFFLINE")));
        for (const user of users) {
          expect(lastTold.get(user) ?? "offline").toBe(isConnected(user) ? "online" : "offline");
        }
      }),
      { numRuns: 300 },
    );
  });
});
