import { create } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";
import {
  Report_Kind as Kind,
  type LinkRequest,
  LinkRequestSchema,
  type LinkResponse,
} from "../gen/parley/presence/v1/presence_service_pb.js";
import { ManualClock } from "../mesh/clock-manual.ts";
import { type MemoryDuplex, memoryDuplex } from "../mesh/duplex-memory.ts";
import { silentLogger } from "../mesh/logger.ts";
import { type ConnectedDevice, PresenceLink } from "./presence-link.ts";

type Stream = { edge: MemoryDuplex<LinkResponse, object>; cut(error: Error): void };

describe("PresenceLink", () => {
  let clock: ManualClock;
  let devices: ConnectedDevice[];
  let streams: Stream[];
  let requests: LinkRequest[];
  /** Whether the instance answers. */
  let isAnswering: boolean;

  beforeEach(() => {
    clock = new ManualClock();
    devices = [];
    streams = [];
    requests = [];
    isAnswering = true;
  });

  function open(): PresenceLink {
    return new PresenceLink({
      edgeId: "edge-1",
      instanceId: "p1",
      openStream() {
        const { left, right, cut } = memoryDuplex<LinkRequest, LinkResponse, object>({
          toRight: (request) => create(LinkRequestSchema, request),
          toLeft: (response) => response,
        });
        right.onMessage = (request) => {
          requests.push(request);
          if (isAnswering) right.write({ beatIntervalMs: 5_000 } as LinkResponse);
        };
        streams.push({ edge: left, cut });
        return left;
      },
      listDevices: () => devices,
      clock,
      log: silentLogger,
      random: () => 1,
    });
  }

  const device = (i: number) => ({ userId: `user-${i}`, deviceId: "phone" });
  const report = (kind: Kind, i: number) => ({ kind, ...device(i) });
  async function settle(): Promise<void> {
    for (let i = 0; i < 30; i++) await new Promise((resolve) => setImmediate(resolve));
  }
  /** "A1" for user-1's arrival; "S" and "E" where a snapshot starts and ends. */
  const told = () =>
    requests.map(({ snapshotStart, snapshotEnd, reports }) =>
      [
        snapshotStart ? "S" : "",
        ...reports.map(({ kind, userId }) => Kind[kind]![0] + userId.slice(5)),
        snapshotEnd ? "E" : "",
      ].join(""),
    );

  it("[P1] begins with a snapshot, then reports in order what gathers in one turn", async () => {
    devices = [device(1)];
    const link = open();
    await settle();
    link.add(report(Kind.ATTACHED, 2));
    link.add(report(Kind.DETACHED, 1));
    await settle();
    link.add(report(Kind.LOGGED_OUT, 2));
    await settle();
    expect(told()).toEqual(["SA1E", "A2D1", "L2"]);
    expect(requests[0]!.edgeId).toBe("edge-1");
  });

  it("[P1] what happens during a snapshot follows it", async () => {
    devices = Array.from({ length: 1_500 }, (_, i) => device(i));
    const link = open();
    await new Promise((resolve) => setImmediate(resolve));
    link.add(report(Kind.DETACHED, 3));
    await settle();
    expect(requests.map(({ reports }) => reports.length)).toEqual([1_000, 500, 1]);
    expect(requests.map(({ snapshotStart }) => snapshotStart)).toEqual([true, false, false]);
    expect(requests.map(({ snapshotEnd }) => snapshotEnd)).toEqual([false, true, false]);
  });

  it("writes nothing while the stream is full", async () => {
    const link = open();
    streams[0]!.edge.isWritable = false;
    await settle();
    link.add(report(Kind.ATTACHED, 1));
    await settle();
    expect(told()).toEqual(["SE"]);
    streams[0]!.edge.drain();
    await settle();
    expect(told()).toEqual(["SE", "A1"]);
  });

  it("[P2] 10,000 reports that wait give way to a snapshot; log-outs stay", async () => {
    const link = open();
    streams[0]!.edge.isWritable = false;
    await settle();
    link.add(report(Kind.LOGGED_OUT, 7));
    for (let i = 0; i < 10_000; i++) link.add(report(Kind.ATTACHED, i));
    devices = [device(1), device(2)];
    streams[0]!.edge.drain();
    await settle();
    expect(told().slice(1)).toEqual(["SL7A9999A1A2E"]);
  });

  it("[P5] beats as often as the instance wants", async () => {
    open();
    await settle();
    clock.advance(5_000);
    clock.advance(5_000);
    await settle();
    expect(told()).toEqual(["SE", "", ""]);
  });

  it("[P5] opens another stream where beats are not answered", async () => {
    open();
    await settle();
    isAnswering = false;
    for (let i = 0; i < 4; i++) clock.advance(5_000);
    await settle();
    expect(streams).toHaveLength(1);
    expect(streams[0]!.edge.isClosed).toBe(true);
    clock.advance(200);
    await settle();
    expect(streams).toHaveLength(2);
    expect(told().at(-1)).toBe("SE");
  });

  it("[P5] tries again after growing pauses, up to 5 s, until it is answered", async () => {
    open();
    isAnswering = false;
    const pauses: number[] = [];
    for (let i = 0; i < 8; i++) {
      streams.at(-1)!.cut(new Error("cut"));
      const beforeMs = clock.monotonicMs();
      clock.advance(clock.nextDueMs()! - beforeMs);
      pauses.push(clock.monotonicMs() - beforeMs);
    }
    expect(pauses).toEqual([200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    isAnswering = true;
    await settle();
    streams.at(-1)!.cut(new Error("cut"));
    expect(clock.nextDueMs()! - clock.monotonicMs()).toBe(200);
  });

  it("[P2] what happens while there is no stream goes before the snapshot, each at its time", async () => {
    const link = open();
    await settle();
    streams[0]!.cut(new Error("cut"));
    link.add(report(Kind.ATTACHED, 1));
    link.add(report(Kind.LOGGED_OUT, 2));
    link.add({ ...report(Kind.DETACHED, 3), heardMs: clock.monotonicMs() - 1_000 });
    devices = [device(1)];
    clock.advance(200);
    await settle();
    expect(told()).toEqual(["SE", "SA1L2D3A1E"]);
    expect(requests[1]!.reports[2]!.silentMs).toBe(1_200);
  });

  it("[P2] who logs out and is back before there is a stream is told to be there", async () => {
    const link = open();
    await settle();
    streams[0]!.cut(new Error("cut"));
    link.add(report(Kind.LOGGED_OUT, 1));
    link.add(report(Kind.ATTACHED, 1));
    devices = [device(1)];
    clock.advance(200);
    await settle();
    expect(told()).toEqual(["SE", "SL1A1A1E"]);
  });

  it("[P2] gives back what was not sent", async () => {
    const link = open();
    await settle();
    link.add(report(Kind.ATTACHED, 1));
    link.add(report(Kind.LOGGED_OUT, 2));
    expect(link.takeReports()).toEqual([report(Kind.ATTACHED, 1), report(Kind.LOGGED_OUT, 2)]);
    await settle();
    expect(told()).toEqual(["SE"]);
  });

  it("leaves no timer and no stream behind", async () => {
    const link = open();
    await settle();
    link.stop();
    await settle();
    expect(streams[0]!.edge.isClosed).toBe(true);
    expect(clock.nextDueMs()).toBeUndefined();
  });
});
