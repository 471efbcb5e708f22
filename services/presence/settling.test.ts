import { beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { rendezvous } from "../../mesh/rendezvous.ts";
import { Settling } from "./settling.ts";

const graceMs = 30_000;

/** A user whom the instance owns among these, and not among those. */
function userOf(instanceId: string, among: string[], notAmong: string[] = []): string {
  for (let i = 0; ; i++) {
    const userId = `user-${i}`;
    if (rendezvous(userId, among) !== instanceId) continue;
    if (rendezvous(userId, notAmong) !== instanceId) return userId;
  }
}

describe("Settling", () => {
  let clock: ManualClock;
  let settling: Settling;
  let settled: number;

  beforeEach(() => {
    clock = new ManualClock();
    settled = 0;
    settling = new Settling({ clock, graceMs, instanceId: "a", onSettled: () => settled++ });
    settling.setInstances(["a"]);
  });

  it("[P5] SETTLING: calls nobody offline before the grace time has passed", () => {
    settling.setEdges(["edge-1"]);
    settling.edgeReported("edge-1");
    clock.advance(graceMs - 1);
    expect(settling.canTellOffline("anna")).toBe(false);
    clock.advance(1);
    expect(settling.canTellOffline("anna")).toBe(true);
    expect(settled).toBe(1);
  });

  it("[P5] SETTLING → SETTLED: not before every registered edge has named its devices", () => {
    settling.setEdges(["edge-1", "edge-2"]);
    settling.edgeReported("edge-1");
    clock.advance(graceMs);
    expect(settling.canTellOffline("anna")).toBe(false);
    settling.edgeReported("edge-2");
    clock.advance(graceMs);
    expect(settling.canTellOffline("anna")).toBe(true);
  });

  it("[P5] waits for an edge that was lost before the others had reported", () => {
    settling.setEdges(["edge-1", "edge-2"]);
    settling.edgeReported("edge-1");
    settling.edgeLost("edge-1");
    clock.advance(graceMs);
    settling.edgeReported("edge-2");
    expect(settling.canTellOffline("anna")).toBe(false);
    settling.edgeReported("edge-1");
    clock.advance(graceMs);
    expect(settling.canTellOffline("anna")).toBe(true);
  });

  it("[P5] the devices of an edge that ended without a word have their grace time", () => {
    settling.setEdges(["edge-1", "edge-2"]);
    settling.edgeReported("edge-1");
    clock.advance(graceMs - 1);
    settling.setEdges(["edge-1"]);
    clock.advance(graceMs - 1);
    expect(settling.canTellOffline("anna")).toBe(false);
    clock.advance(1);
    expect(settling.canTellOffline("anna")).toBe(true);
  });

  it("[P5] devices that left an edge just before its word have their grace time", () => {
    settling.setEdges(["edge-1"]);
    clock.advance(graceMs - 1);
    settling.edgeReported("edge-1");
    clock.advance(graceMs - 1);
    expect(settling.canTellOffline("anna")).toBe(false);
    clock.advance(1);
    expect(settling.canTellOffline("anna")).toBe(true);
  });

  it("[P5] waits for the registry's first answer", () => {
    clock.advance(graceMs);
    expect(settled).toBe(0);
    settling.setEdges([]);
    expect(settled).toBe(1);
  });

  it("[P5] SETTLED → SETTLED: edges come and go", () => {
    settling.setEdges([]);
    clock.advance(graceMs);
    settling.setEdges(["edge-1"]);
    settling.edgeLost("edge-1");
    expect(settling.canTellOffline("anna")).toBe(true);
    expect(settled).toBe(1);
  });

  it("[P5] SETTLED → SETTLING: for the users that it gains with a change of the instances, not for those it keeps", () => {
    settling.setInstances(["a", "b"]);
    settling.setEdges([]);
    clock.advance(graceMs);
    const kept = userOf("a", ["a", "b"]);
    const gained = userOf("a", ["a"], ["a", "b"]);
    expect(settling.canTellOffline(gained)).toBe(false);
    settling.setInstances(["a"]);
    expect(settling.canTellOffline(kept)).toBe(true);
    expect(settling.canTellOffline(gained)).toBe(false);
    clock.advance(graceMs);
    expect(settling.canTellOffline(gained)).toBe(true);
    expect(settled).toBe(2);
  });

  it("[P5] can't tell of users that another instance owned for a while", () => {
    settling.setEdges([]);
    clock.advance(graceMs);
    settling.setInstances(["a", "b"]);
    settling.setInstances(["a"]);
    expect(settling.canTellOffline(userOf("a", ["a"], ["a", "b"]))).toBe(false);
    expect(settling.canTellOffline(userOf("a", ["a", "b"]))).toBe(true);
  });

  it("[P5] can't tell of anybody after too many changes to remember, until it has settled", () => {
    settling.setEdges([]);
    clock.advance(graceMs);
    for (let i = 0; i < 20; i++) settling.setInstances(["a", `b${i}`]);
    settling.setInstances(["a"]);
    expect(settling.canTellOffline("anna")).toBe(false);
    clock.advance(graceMs);
    expect(settling.canTellOffline("anna")).toBe(true);
  });

  it("[P5] has no word on users of another instance", () => {
    settling.setEdges([]);
    clock.advance(graceMs);
    settling.setInstances(["a", "b"]);
    const lost = userOf("b", ["a", "b"]);
    expect(settling.owns(lost)).toBe(false);
    expect(settling.canTellOffline(lost)).toBe(false);
  });

  it("[P5] the same instances in another order are no change", () => {
    settling.setInstances(["a", "b"]);
    settling.setEdges([]);
    clock.advance(graceMs);
    settling.setInstances(["b", "a"]);
    clock.advance(graceMs);
    expect(settled).toBe(1);
  });

  it("settles no more once it is stopped", () => {
    settling.setEdges([]);
    settling.stop();
    clock.advance(graceMs);
    expect(settled).toBe(0);
  });
});
