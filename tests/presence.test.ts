/** Edges' reporters and Presence instances together, over streams in memory. */
import { beforeEach, describe, expect, it } from "vitest";
import { rendezvous } from "../mesh/rendezvous.ts";
import { config, PresenceCluster, settle } from "../services/presence/presence-under-test.ts";
import { Edge } from "./presence-model/edge.ts";

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
    edge.logOut("anna");
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
    edge.logOut("anna");
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
});
