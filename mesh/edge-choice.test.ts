import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chooseEdges, edgesMax, freeCapacity } from "./edge-choice.ts";
import { type EdgeOffer, offerMetadata, offerOf } from "./edge-offer.ts";

const regions = ["", "eu", "us"];
const offers: fc.Arbitrary<EdgeOffer[]> = fc.uniqueArray(
  fc.record({
    url: fc.integer({ min: 1, max: 30 }).map((n) => `https://edge-${n}.test`),
    region: fc.constantFrom(...regions),
    connectionsMax: fc.integer({ min: 1, max: 100_000 }),
    load: fc.integer({ min: 0, max: 100 }).map((hundredths) => hundredths / 100),
  }),
  { selector: ({ url }) => url, maxLength: 12 },
);
const wish = fc.record({
  region: fc.constantFrom(...regions, "nowhere"),
  failedUrls: fc.array(fc.integer({ min: 1, max: 30 }).map((n) => `https://edge-${n}.test`)),
});

/** Numbers that look like chance and are the same in every run (a linear congruential generator). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe("[A4] the choice of edges", () => {
  it("names as many as there are with room, up to five, each once, and none that is full", () => {
    fc.assert(
      fc.property(offers, wish, fc.integer(), (offers, wish, seed) => {
        const chosen = chooseEdges(offers, wish, seeded(seed));
        const withRoom = offers.filter(({ load }) => load < 1);
        expect(chosen).toHaveLength(Math.min(edgesMax, withRoom.length));
        expect(new Set(chosen).size).toBe(chosen.length);
        for (const each of chosen) expect(withRoom).toContain(each);
      }),
    );
  });

  it("[X3] puts the client's region before all others, and what it could not reach behind all", () => {
    fc.assert(
      fc.property(offers, wish, fc.integer(), (offers, wish, seed) => {
        const chosen = chooseEdges(offers, wish, seeded(seed));
        const isLocal = ({ region }: EdgeOffer) => wish.region !== "" && region === wish.region;
        const hasFailed = ({ url }: EdgeOffer) => wish.failedUrls.includes(url);
        const ranks = chosen.map((each) => (hasFailed(each) ? 2 : 0) + (isLocal(each) ? 0 : 1));
        expect(ranks).toEqual([...ranks].sort((a, b) => a - b));
        // Nobody was left out for one who should come later.
        const left = offers.filter((each) => each.load < 1 && !chosen.includes(each));
        const leftRanks = left.map((each) => (hasFailed(each) ? 2 : 0) + (isLocal(each) ? 0 : 1));
        expect(Math.max(0, ...ranks)).toBeLessThanOrEqual(Math.min(3, ...leftRanks));
      }),
    );
  });

  it("[X3] sends clients to edges of a region in proportion to what is free there", () => {
    const clients = 20_000;
    const random = seeded(7);
    const edges = [
      { url: "a", region: "eu", connectionsMax: 1_000, load: 0.5 },
      { url: "b", region: "eu", connectionsMax: 2_000, load: 0.25 },
      { url: "c", region: "eu", connectionsMax: 10_000, load: 0.8 },
      { url: "d", region: "us", connectionsMax: 90_000, load: 0 },
    ];
    const counts = new Map<string, number>();
    for (let i = 0; i < clients; i++) {
      const [best] = chooseEdges(edges, { region: "eu" }, random);
      counts.set(best!.url, (counts.get(best!.url) ?? 0) + 1);
    }
    const free = edges.slice(0, 3).map(freeCapacity);
    const total = free.reduce((sum, each) => sum + each, 0);
    for (const [i, url] of ["a", "b", "c"].entries()) {
      const share = free[i]! / total;
      const sigma = Math.sqrt(clients * share * (1 - share));
      expect(Math.abs(counts.get(url)! - clients * share)).toBeLessThan(5 * sigma);
    }
    expect(counts.has("d")).toBe(false);
  });

  it("is among all edges where none is of the client's region", () => {
    const edges = ["a", "b"].map((url) => ({ url, region: "eu", connectionsMax: 10, load: 0 }));
    const random = seeded(1);
    const firsts = Array.from({ length: 100 }, () => {
      return chooseEdges(edges, { region: "mars" }, random)[0]!.url;
    });
    expect(new Set(firsts)).toEqual(new Set(["a", "b"]));
  });
});

describe("an edge's offer", () => {
  const instance = { instanceId: "edge-1", service: "parley.edge", address: "127.0.0.1:1" };

  it("[A4] is read as it was written", () => {
    const offer = { url: "https://edge-1.test", region: "eu", connectionsMax: 50_000, load: 0.25 };
    expect(offerOf({ ...instance, metadata: offerMetadata(offer) })).toEqual(offer);
  });

  it("[D4] is none where the edge has no address of its own for clients, or says nonsense", () => {
    const metadata = { public_url: "https://a.test", connections_max: "10", load: "0" };
    expect(offerOf({ ...instance, metadata })).toBeDefined();
    for (const bad of [{ public_url: "" }, { connections_max: "many" }, { load: "heavy" }]) {
      expect(offerOf({ ...instance, metadata: { ...metadata, ...bad } })).toBeUndefined();
    }
    expect(offerOf({ ...instance, metadata: {} })).toBeUndefined();
  });
});
