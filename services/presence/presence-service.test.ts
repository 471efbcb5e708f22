import { beforeEach, describe, expect, it } from "vitest";
import { Report_Kind as Kind } from "../../gen/parley/presence/v1/presence_service_pb.js";
import { Audience } from "../../gen/parley/session/v1/session_pb.js";
import { rendezvous } from "../../mesh/rendezvous.ts";
import type { PresenceStore } from "./presence-store.ts";
import { config, type EdgeEnd, PresenceCluster, settle } from "./presence-under-test.ts";

describe("PresenceService", () => {
  let cluster: PresenceCluster;

  beforeEach(() => {
    cluster = new PresenceCluster();
    cluster.friends.set("anna", ["ben", "carl"]);
    cluster.friends.set("ben", ["anna"]);
  });

  async function register(instanceId: string): Promise<void> {
    const instance = { instanceId, service: "parley.edge", address: "", metadata: {} };
    await cluster.registry.register(instance);
  }

  /** Registers an edge and opens its stream with an empty snapshot. */
  async function edge(edgeId = "edge-1", instanceId = "p1"): Promise<EdgeEnd> {
    await register(edgeId);
    const link = cluster.link(instanceId);
    link.write({ edgeId, snapshotStart: true, snapshotEnd: true });
    await settle();
    return link;
  }

  async function report(link: EdgeEnd, kind: Kind, userId: string): Promise<void> {
    link.write({ reports: [{ kind, userId, deviceId: "phone" }] });
    await settle();
  }

  /** One instance with one edge, settled; the edge goes on beating with the clock. */
  async function settled(): Promise<EdgeEnd> {
    cluster.start("p1");
    const link = await edge();
    await advanceBeating(link, config.graceMs);
    return link;
  }

  async function advanceBeating(links: EdgeEnd | EdgeEnd[], ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 1_000) {
      await cluster.advance(Math.min(left, 1_000));
      for (const link of [links].flat()) link.write({});
    }
    await settle();
  }

  it("[P3] a device that connects is told to friends at once", async () => {
    const link = await settled();
    await report(link, Kind.ATTACHED, "anna");
    expect(cluster.told).toEqual(["anna online → ben", "anna online → carl"]);
    expect(await cluster.statuses("p1", ["anna"])).toEqual(["ONLINE"]);
  });

  it("[P2] [P3] a log-out is told to friends at once, a lost connection after the grace time", async () => {
    const link = await settled();
    await report(link, Kind.ATTACHED, "ben");
    await report(link, Kind.LOGGED_OUT, "ben");
    expect(cluster.told).toEqual(["ben online → anna", "ben offline → anna"]);
    await report(link, Kind.ATTACHED, "ben");
    await report(link, Kind.DETACHED, "ben");
    await advanceBeating(link, config.graceMs - 1);
    expect(cluster.told).toHaveLength(3);
    await advanceBeating(link, 1);
    expect(cluster.told.at(-1)).toBe("ben offline → anna");
  });

  it("[P2] a connection that comes back within the grace time is told to nobody", async () => {
    const link = await settled();
    await report(link, Kind.ATTACHED, "ben");
    await report(link, Kind.DETACHED, "ben");
    await advanceBeating(link, config.graceMs - 1);
    await report(link, Kind.ATTACHED, "ben");
    await advanceBeating(link, config.graceMs);
    expect(cluster.told).toEqual(["ben online → anna"]);
  });

  it("[P6] a user who shows presence to nobody is told to nobody", async () => {
    cluster.audiences.set("anna", Audience.NOBODY);
    const link = await settled();
    await report(link, Kind.ATTACHED, "anna");
    expect(cluster.told).toEqual([]);
  });

  it("[P6] hidden presence is not known, not even when", async () => {
    const link = await settled();
    await report(link, Kind.ATTACHED, "anna");
    cluster.audiences.set("anna", Audience.FRIENDS);
    await advanceBeating(link, config.friendsMaxAgeMs);
    expect(await cluster.statuses("p1", ["anna"], "ben")).toEqual(["ONLINE"]);
    expect(await cluster.get("p1", ["anna"], "stranger")).toEqual(["anna UNSPECIFIED"]);
    expect(await cluster.statuses("p1", ["anna"], "anna")).toEqual(["ONLINE"]);
    cluster.audiences.set("anna", Audience.NOBODY);
    await advanceBeating(link, config.friendsMaxAgeMs);
    expect(await cluster.get("p1", ["anna"], "ben")).toEqual(["anna UNSPECIFIED"]);
    expect(await cluster.statuses("p1", ["anna"], "anna")).toEqual(["ONLINE"]);
  });

  it("[P6] the time of the last activity has an audience of its own, within presence'", async () => {
    const link = await settled();
    await report(link, Kind.ATTACHED, "anna");
    const heardMs = cluster.clock.nowMs();
    cluster.lastSeenAudiences.set("anna", Audience.FRIENDS);
    cluster.accounts.publishAccount("anna");
    await settle();
    expect(await cluster.get("p1", ["anna"], "ben")).toEqual([`anna ONLINE ${heardMs}`]);
    expect(await cluster.get("p1", ["anna"], "stranger")).toEqual(["anna ONLINE"]);
    cluster.lastSeenAudiences.set("anna", Audience.EVERYBODY);
    cluster.audiences.set("anna", Audience.FRIENDS);
    cluster.accounts.publishAccount("anna");
    await settle();
    expect(await cluster.get("p1", ["anna"], "stranger")).toEqual(["anna UNSPECIFIED"]);
  });

  it("[A2] [P6] who is blocked sees nothing, as soon as Presence has heard of it", async () => {
    const link = await settled();
    await report(link, Kind.ATTACHED, "anna");
    expect(await cluster.statuses("p1", ["anna"], "stranger")).toEqual(["ONLINE"]);
    cluster.blocks.set("anna", ["stranger"]);
    expect(await cluster.statuses("p1", ["anna"], "stranger")).toEqual(["ONLINE"]);
    cluster.accounts.publishAccount("anna");
    await settle();
    expect(await cluster.get("p1", ["anna"], "stranger")).toEqual(["anna UNSPECIFIED"]);
    expect(await cluster.statuses("p1", ["anna"], "other")).toEqual(["ONLINE"]);
  });

  it("[P6] what Session can't be asked about is hidden, unless it is remembered", async () => {
    const link = await settled();
    await report(link, Kind.ATTACHED, "anna");
    cluster.isSessionAway = true;
    await advanceBeating(link, config.friendsMaxAgeMs);
    expect(await cluster.statuses("p1", ["anna", "ben"], "carl")).toEqual([
      "ONLINE",
      "UNSPECIFIED",
    ]);
  });

  it("[P4] a whole group is answered in the order asked, look-ups shared and remembered", async () => {
    const link = await settled();
    await report(link, Kind.ATTACHED, "ben");
    const userIds = Array.from({ length: 100 }, (_, i) => (i % 2 ? "ben" : `user-${i}`));
    cluster.friendLookUps = 0;
    const statuses = await cluster.statuses("p1", userIds, "carl");
    expect(statuses).toEqual(userIds.map((_, i) => (i % 2 ? "ONLINE" : "OFFLINE")));
    expect(cluster.friendLookUps).toBe(50);
    await cluster.statuses("p1", userIds, "dora");
    expect(cluster.friendLookUps).toBe(50);
  });

  it.each([
    [[], "user_ids: 0 users, must be 1 to 100"],
    [Array.from({ length: 101 }, () => "anna"), "user_ids: 101 users, must be 1 to 100"],
    [["anna", ""], "user_ids[1]: 0 characters, must be 1 to 64"],
  ])("refuses a bad list of users (%#)", async (userIds, message) => {
    cluster.start("p1");
    await settle();
    await expect(cluster.get("p1", userIds)).rejects.toThrow(message);
  });

  it("[P1] says when a user was last active, online or not, and after a restart", async () => {
    const link = await settled();
    await report(link, Kind.ATTACHED, "ben");
    await advanceBeating(link, 5_000);
    const heardMs = cluster.clock.nowMs();
    expect(await cluster.get("p1", ["ben"])).toEqual([`ben ONLINE ${heardMs}`]);
    await report(link, Kind.DETACHED, "ben");
    const detachedMs = cluster.clock.nowMs();
    await advanceBeating(link, config.graceMs + config.writeDelayMs);
    expect(await cluster.get("p1", ["ben", "nobody"])).toEqual([
      `ben OFFLINE ${detachedMs}`,
      "nobody OFFLINE",
    ]);
    cluster.kill("p1");
    cluster.start("p2");
    await settle();
    expect(await cluster.get("p2", ["ben"])).toEqual([`ben UNSPECIFIED ${detachedMs}`]);
  });

  it("[P1] a close stores what is known, also of those who are online", async () => {
    const presence = cluster.start("p1");
    const link = await edge();
    await advanceBeating(link, config.graceMs);
    await report(link, Kind.ATTACHED, "ben");
    await advanceBeating(link, 60_000);
    await presence.close();
    expect(await cluster.store.get(["ben"])).toEqual([
      { userId: "ben", isOnline: true, lastActiveMs: cluster.clock.nowMs() },
    ]);
  });

  it("[P5] an edge that falls silent takes its users offline a grace time after its last beat", async () => {
    const link = await settled();
    await report(link, Kind.ATTACHED, "ben");
    await cluster.advance(config.graceMs - 1);
    expect(await cluster.statuses("p1", ["ben"])).toEqual(["ONLINE"]);
    await cluster.advance(1);
    expect(cluster.told).toEqual(["ben online → anna", "ben offline → anna"]);
    expect(link.isClosed).toBe(true);
  });

  it("[P5] an instance that did not run for a while does not take that for an edge's silence", async () => {
    const link = await settled();
    await report(link, Kind.ATTACHED, "ben");
    cluster.clock.sleep(2 * config.graceMs);
    await advanceBeating(link, config.graceMs);
    expect(cluster.told).toEqual(["ben online → anna"]);
    expect(link.isClosed).toBe(false);
  });

  it("[P5] an edge's second stream replaces its first, and no device is lost", async () => {
    const link = await settled();
    await report(link, Kind.ATTACHED, "ben");
    const second = cluster.link("p1");
    second.write({
      edgeId: "edge-1",
      snapshotStart: true,
      snapshotEnd: true,
      reports: [{ kind: Kind.ATTACHED, userId: "ben", deviceId: "phone" }],
    });
    await settle();
    expect(link.isClosed).toBe(true);
    await advanceBeating(second, 2 * config.graceMs);
    expect(cluster.told).toEqual(["ben online → anna"]);
  });

  it("[P5] a new instance knows nothing of those who are absent until it has settled", async () => {
    cluster.start("p1");
    const link = await edge("edge-1");
    await register("edge-2");
    await report(link, Kind.ATTACHED, "ben");
    expect(await cluster.statuses("p1", ["ben", "anna"])).toEqual(["ONLINE", "UNSPECIFIED"]);
    await advanceBeating(link, config.graceMs);
    expect(await cluster.statuses("p1", ["anna"])).toEqual(["UNSPECIFIED"]);
    const other = await edge("edge-2");
    await advanceBeating([link, other], config.graceMs);
    expect(await cluster.statuses("p1", ["anna"])).toEqual(["OFFLINE"]);
  });

  it("[P5] a restarted instance tells friends only what has changed meanwhile", async () => {
    const link = await settled();
    await report(link, Kind.ATTACHED, "ben");
    await report(link, Kind.ATTACHED, "anna");
    await advanceBeating(link, config.writeDelayMs);
    cluster.kill("p1");
    cluster.told.length = 0;
    cluster.friends.set("carl", ["anna"]);
    cluster.start("p2");
    const second = await edge("edge-1", "p2");
    await report(second, Kind.ATTACHED, "ben");
    await report(second, Kind.ATTACHED, "carl");
    expect(cluster.told).toEqual(["carl online → anna"]);
    await advanceBeating(second, config.graceMs);
    expect(cluster.told.slice(1)).toEqual(["anna offline → ben", "anna offline → carl"]);
    expect(await cluster.statuses("p2", ["anna", "ben", "carl"])).toEqual([
      "OFFLINE",
      "ONLINE",
      "ONLINE",
    ]);
  });

  it("[P3] who connects before the instance knows that it is the owner is told of then", async () => {
    cluster.start("p1");
    cluster.start("p2");
    const owner = rendezvous("ben", ["p1", "p2"])!;
    const other = owner === "p1" ? "p2" : "p1";
    const link = await edge("edge-1", other);
    await advanceBeating(link, config.graceMs);
    cluster.watchLagMs = () => 3_000;
    cluster.kill(owner);
    await report(link, Kind.ATTACHED, "ben");
    await advanceBeating(link, 2_000);
    expect(cluster.told).toEqual([]);
    await advanceBeating(link, 1_000);
    expect(cluster.told).toEqual(["ben online → anna"]);
    await advanceBeating(link, config.graceMs);
    expect(cluster.told).toHaveLength(1);
  });

  it("[P5] compares again later when the store is away as it settles", async () => {
    const { store } = cluster;
    await store.put([{ userId: "ben", isOnline: true, lastActiveMs: 7 }]);
    let isAway = true;
    cluster.store = withFailures(store, () => isAway);
    const link = await settled();
    expect(cluster.told).toEqual([]);
    isAway = false;
    await advanceBeating(link, 5_000);
    expect(cluster.told).toEqual(["ben offline → anna"]);
  });

  it("[P3] friends are told while the store is away, and it is written later", async () => {
    let isAway = true;
    const { store } = cluster;
    cluster.store = withFailures(store, () => isAway);
    const link = await settled();
    await report(link, Kind.ATTACHED, "ben");
    await advanceBeating(link, 10_000);
    expect(cluster.told).toEqual(["ben online → anna"]);
    expect(await cluster.statuses("p1", ["ben", "anna"])).toEqual(["ONLINE", "OFFLINE"]);
    isAway = false;
    await advanceBeating(link, 2_000);
    expect(await store.get(["ben"])).toMatchObject([{ isOnline: true }]);
  });

  it("[P1] asks the owner of each user, and knows nothing of those whose owner is away", async () => {
    cluster.start("p1");
    cluster.start("p2");
    const links = [await edge("edge-1", "p1"), await edge("edge-1", "p2")];
    const userIds = Array.from({ length: 20 }, (_, i) => `user-${i}`);
    for (const userId of userIds) {
      const isFirst = rendezvous(userId, ["p1", "p2"]) === "p1";
      await report(links[isFirst ? 0 : 1]!, Kind.ATTACHED, userId);
    }
    expect(await cluster.statuses("p1", userIds, "anna")).toEqual(userIds.map(() => "ONLINE"));
    cluster.unreachable.add("p2");
    expect(await cluster.statuses("p1", userIds, "anna")).toEqual(
      userIds.map((userId) =>
        rendezvous(userId, ["p1", "p2"]) === "p1" ? "ONLINE" : "UNSPECIFIED",
      ),
    );
  });

  it("[P6] the owner decides for the asking user, whichever instance is asked", async () => {
    cluster.start("p1");
    cluster.start("p2");
    await edge("edge-1", "p1");
    await edge("edge-1", "p2");
    cluster.audiences.set("anna", Audience.FRIENDS);
    const owner = rendezvous("anna", ["p1", "p2"])!;
    const link = cluster.link(owner);
    link.write({ edgeId: "edge-1", snapshotStart: true, snapshotEnd: true });
    await report(link, Kind.ATTACHED, "anna");
    for (const instanceId of ["p1", "p2"]) {
      expect(await cluster.statuses(instanceId, ["anna"], "ben")).toEqual(["ONLINE"]);
      expect(await cluster.statuses(instanceId, ["anna"], "dora")).toEqual(["UNSPECIFIED"]);
    }
  });
});

function withFailures(store: PresenceStore, isAway: () => boolean): PresenceStore {
  async function unlessAway<T>(call: () => Promise<T>): Promise<T> {
    if (isAway()) throw new Error("the store is away");
    return call();
  }
  return {
    put: (rows) => unlessAway(() => store.put(rows)),
    get: (userIds) => unlessAway(() => store.get(userIds)),
    listOnline: (after, limit) => unlessAway(() => store.listOnline(after, limit)),
    close: () => store.close(),
  };
}
