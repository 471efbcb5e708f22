import { describe, expect, it } from "vitest";
import { ManualClock } from "../mesh/clock-manual.ts";
import { silentLogger as log } from "../mesh/logger.ts";
import { EdgeLoad, LoadReports, reportMs } from "./edge-load.ts";

/** An edge of 100 places whose event loop is as busy as a test says, and what it has told. */
function startReports(publicUrl = "https://edge-1.test") {
  const clock = new ManualClock();
  const edge = { connectionCount: 0 };
  const state = { busy: 0, isAway: false };
  const told: string[] = [];
  let active = 0;
  let idle = 0;
  const config = { publicUrl, region: "eu", connectionsMax: 100 };
  const load = new EdgeLoad(edge, config, () => ({ active, idle, utilization: 0 }));
  const reports = new LoadReports({
    ...{ load, clock, log },
    publish: async (offer) => {
      if (state.isAway) throw new Error("Consul is away");
      told.push(offer.load!);
    },
  });
  const pass = async (intervals = 1) => {
    for (let i = 0; i < intervals; i++) {
      active += reportMs * state.busy;
      idle += reportMs * (1 - state.busy);
      clock.advance(reportMs);
      await new Promise(setImmediate);
    }
  };
  return { edge, state, told, reports, pass, load };
}

describe("[A4] an edge's reports of its load", () => {
  it("are made where it has changed by 5 %, and once in 5 s at most", async () => {
    const { edge, told, pass } = startReports();
    await pass(10);
    expect(told).toEqual([]);
    edge.connectionCount = 4;
    await pass(2);
    expect(told).toEqual([]);
    for (let i = 0; i < 30; i++) edge.connectionCount++;
    await pass(3);
    expect(told).toEqual(["0.34"]);
    edge.connectionCount = 30;
    await pass();
    edge.connectionCount = 10;
    await pass();
    expect(told).toEqual(["0.34", "0.10"]);
  });

  it("tell at once when it is full, and when it is not any more", async () => {
    const { edge, told, pass } = startReports();
    edge.connectionCount = 98;
    await pass();
    edge.connectionCount = 100;
    await pass();
    edge.connectionCount = 99;
    await pass();
    expect(told).toEqual(["0.98", "1.00", "0.99"]);
  });

  it("tell of a busy event loop, which alone makes no edge full", async () => {
    const { state, told, pass } = startReports();
    state.busy = 1;
    await pass(20);
    expect(told.slice(0, 2)).toEqual(["0.50", "0.75"]);
    expect(Number(told.at(-1))).toBeGreaterThan(0.9);
    expect(Number(told.at(-1))).toBeLessThan(1);
    state.busy = 0;
    await pass(20);
    expect(Number(told.at(-1))).toBeLessThan(0.1);
  });

  it("are tried again while the registry is away, and end with the edge", async () => {
    const { edge, state, told, reports, pass } = startReports();
    state.isAway = true;
    edge.connectionCount = 50;
    await pass(3);
    expect(told).toEqual([]);
    state.isAway = false;
    await pass();
    expect(told).toEqual(["0.50"]);
    reports.stop();
    edge.connectionCount = 0;
    await pass(3);
    expect(told).toEqual(["0.50"]);
  });

  it("[D4] are none behind a balancer", async () => {
    const { edge, told, load, pass } = startReports("");
    edge.connectionCount = 100;
    await pass(3);
    expect(told).toEqual([]);
    expect(load.offer()).toBeUndefined();
  });
});
