/** Clients go to the edges that they are assigned, and to others when those leave. */
import { randomInt } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { times } from "../../bench/load-users.ts";
import { replayDialogues } from "../../edge/cli/replay-run.ts";
import {
  createClient,
  createHttpTransport,
  memoryTokenStore,
  ParleyClient,
  SessionService,
} from "../../edge/sdk/index.ts";
import { systemClock as clock } from "../../mesh/clock.ts";
import { ConsulClient } from "../../mesh/consul-client.ts";
import { freeCapacity } from "../../mesh/edge-choice.ts";
import { type EdgeOffer, edgeService, offerOf } from "../../mesh/edge-offer.ts";
import { silentLogger as log } from "../../mesh/logger.ts";
import { ConsulRegistry } from "../../mesh/registry-consul.ts";
import { newAccount, password } from "../e2e/device.ts";
import { noFaults, someDialogues } from "../e2e/dialogues.ts";
import { eventually, lostMsMax, OwnCluster, startMsMax } from "./own-cluster.ts";

vi.setConfig({ testTimeout: 2 * lostMsMax, hookTimeout: startMsMax });

const drain = { PARLEY_EDGE_DRAIN_MS: "2000", PARLEY_EDGE_DRAIN_SLICE_MIN: "4" };
const edgeSettings = [
  { PARLEY_EDGE_REGION: "eu", PARLEY_EDGE_CONNECTIONS_MAX: "3000", ...drain },
  { PARLEY_EDGE_REGION: "eu", PARLEY_EDGE_CONNECTIONS_MAX: "1000", ...drain },
  { PARLEY_EDGE_REGION: "us", PARLEY_EDGE_CONNECTIONS_MAX: "4000", ...drain },
];

let own: OwnCluster;
let offers: readonly EdgeOffer[] = [];
/** What edges are called in the ids of their connections, by their URLs. */
const edgeIds = new Map<string, string>();
let stopWatching: () => void;
beforeAll(async () => {
  own = await OwnCluster.start({ edgeSettings });
  const consul = new ConsulClient({ url: own.cluster.servers.consul.url, clock });
  const watch = new ConsulRegistry({ consul, clock, log }).watch(edgeService, (instances) => {
    offers = instances.map(offerOf).filter((offer) => offer !== undefined);
    for (const each of instances) edgeIds.set(`http://${each.address}`, each.instanceId);
  });
  stopWatching = () => watch.stop();
  await vi.waitFor(() => expect(offers).toHaveLength(3), eventually);
});
afterAll(async () => {
  stopWatching?.();
  await own?.stop();
});

describe("[A4] log-ins", () => {
  it.each(["eu", ""])("(500 from region '%s') are spread as the rule says", async (region) => {
    const logIns = 500;
    const accounts = await Promise.all(
      Array.from({ length: 10 }, () => newAccount(own.url, "spread")),
    );
    const sessions = createClient(SessionService, createHttpTransport({ url: own.url }));
    /** What chance should bring each edge, by what edges say of themselves at each log-in. */
    const expected = new Map<string, { mean: number; variance: number }>();
    const found = new Map<string, number>();
    const logInOnce = async (i: number) => {
      const { username: login } = accounts[i % accounts.length]!;
      const candidates = offers.filter((offer) => region === "" || offer.region === region);
      const whole = candidates.reduce((sum, offer) => sum + freeCapacity(offer), 0);
      for (const offer of candidates) {
        const share = freeCapacity(offer) / whole;
        const { mean = 0, variance = 0 } = expected.get(offer.url) ?? {};
        const more = { mean: mean + share, variance: variance + share * (1 - share) };
        expected.set(offer.url, more);
      }
      const { edges } = await sessions.logIn({ login, password, region });
      expect(edges).toHaveLength(3);
      found.set(edges[0]!.url, (found.get(edges[0]!.url) ?? 0) + 1);
    };
    await times(logIns, logInOnce, 10);
    console.log(`region '${region}':`, Object.fromEntries(found), Object.fromEntries(expected));
    expect([...found.keys()].filter((url) => !expected.has(url))).toEqual([]);
    for (const [url, { mean, variance }] of expected) {
      // Five sigma are one run in a million; a twentieth more is for loads that Session hears of
      // a moment earlier or later than this test.
      const slack = 5 * Math.sqrt(variance) + logIns / 20;
      expect(Math.abs((found.get(url) ?? 0) - mean)).toBeLessThan(slack);
    }
  });
});

describe("[R4] [R3] [A4] clients of an edge that is drained, and of one that is killed", () => {
  it("are all back on others, and nothing that people say is lost, doubled or out of order", async () => {
    // Where they log in is an edge that stays: as a rule, a balancer of all of them.
    const logInUrl = own.cluster.edgeUrls[2]!;
    const url = logInUrl;
    const clients = await Promise.all(
      Array.from({ length: 48 }, async () => {
        const tokens = memoryTokenStore(await newAccount(logInUrl, "moved"));
        const client = await ParleyClient.open({ url, tokens });
        await client.connect();
        return client;
      }),
    );
    const edgeOf = ({ state }: ParleyClient) =>
      state.status === "online"
        ? state.connectionId.slice(0, state.connectionId.lastIndexOf("-"))
        : "";
    const counts = () => {
      const found: Record<string, number> = {};
      for (const client of clients) found[edgeOf(client)] = (found[edgeOf(client)] ?? 0) + 1;
      return found;
    };
    const before = counts();
    expect(Object.keys(before).length).toBeGreaterThan(1);

    let isOver = false;
    const talk = async () => {
      const dialogues = someDialogues(1).slice(0, 40);
      for (let isLast = false; !isLast; ) {
        isLast = isOver;
        const options = { concurrency: 16, seed: randomInt(1_000), stallMs: 120_000 };
        const { report, problems } = await replayDialogues(dialogues, {
          ...options,
          urls: [logInUrl],
        });
        expect(problems).toEqual([]);
        expect(report).toMatchObject(noFaults);
        expect(report.acknowledged).toBe(report.sent);
      }
    };
    /** Ends an edge for good; resolves when its clients are online elsewhere. */
    const end = async (address: string, how: "drained" | "killed") => {
      const process = own.cluster.processes.find((each) => each.address === address)!;
      const there = edgeIds.get(address)!;
      const startMs = performance.now();
      const moved = counts()[there] ?? 0;
      if (how === "killed") process.signal("SIGKILL");
      const ended = process.stop();
      await vi.waitFor(() => {
        expect(clients.filter((client) => ["", there].includes(edgeOf(client)))).toEqual([]);
      }, eventually);
      const tookMs = Math.round(performance.now() - startMs);
      console.log(
        `${how}: ${moved} of ${clients.length} clients back after ${tookMs} ms`,
        counts(),
      );
      await ended;
    };
    const endBoth = async () => {
      await end(own.cluster.edgeUrls[0]!, "drained");
      await end(own.cluster.edgeUrls[1]!, "killed");
      isOver = true;
    };
    await Promise.all([talk(), endBoth()]);
    await Promise.all(clients.map((client) => client.close()));
  });
});
