import { beforeEach, describe, expect, it } from "vitest";
import { Report_Kind as Kind } from "../../gen/parley/presence/v1/presence_service_pb.js";
import { Metrics } from "../../mesh/metrics.ts";
import { PresenceCluster, settle } from "./presence-under-test.ts";

describe("EdgeLinks", () => {
  const good = { kind: Kind.ATTACHED, userId: "ben", deviceId: "phone" };
  const first = { edgeId: "edge-9", snapshotStart: true };
  let cluster: PresenceCluster;

  beforeEach(() => {
    cluster = new PresenceCluster();
  });

  it("[P2] counts the beats of edges apart from what they report", async () => {
    const metrics = new Metrics();
    cluster.metrics = metrics;
    cluster.start("p1");
    const link = cluster.link("p1");
    link.write({ edgeId: "edge-1", snapshotStart: true, snapshotEnd: true });
    for (let beat = 0; beat < 3; beat++) link.write({});
    link.write({ reports: [good] });
    await settle();
    const counter = metrics.registry.getSingleMetric("parley_presence_edge_requests_total")!;
    const { values } = await counter.get();
    const counts = values.map(({ labels, value }) => `${value} ${labels.kind}`);
    expect(counts).toEqual(["2 report", "3 beat"]);
  });

  it("answers the first request and every beat with the interval", async () => {
    cluster.start("p1");
    const answers: number[] = [];
    const link = cluster.link("p1");
    link.onMessage = ({ beatIntervalMs }) => answers.push(beatIntervalMs);
    link.write({ edgeId: "edge-1", snapshotStart: true });
    link.write({ snapshotEnd: true, reports: [{ kind: 1, userId: "ben", deviceId: "d" }] });
    link.write({});
    await settle();
    expect(answers).toEqual([5_000, 5_000]);
  });

  it.each([
    ["no edge", { snapshotStart: true }],
    ["no snapshot", { edgeId: "edge-9" }],
    ["too many reports", { ...first, reports: Array.from({ length: 1_001 }, () => good) }],
    ["no user", { ...first, reports: [{ ...good, userId: "" }] }],
    ["no device", { ...first, reports: [{ ...good, deviceId: "" }] }],
    ["a long id", { ...first, reports: [{ ...good, deviceId: "d".repeat(65) }] }],
    ["no kind", { ...first, reports: [{ ...good, kind: 0 }] }],
  ])("ends a stream that begins with %s", async (_, request) => {
    cluster.start("p1");
    const link = cluster.link("p1");
    link.write(request);
    await settle();
    expect(link.isClosed).toBe(true);
  });
});
