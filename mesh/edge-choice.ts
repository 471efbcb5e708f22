/**
 * Which edge a client is sent to: the rule of docs/OPERATIONS.md. Those of its region come before
 * all others, and among equals an edge comes first with a chance in proportion to its free capacity
 * (connections that it takes, times what is left of them and of its CPU). Chance spreads a storm
 * of clients that are all told at once, from loads that are seconds old.
 */
import type { EdgeOffer } from "./edge-offer.ts";

/** Edges that a client is told of. */
export const edgesMax = 5;

/** What a client says when it looks for an edge. */
export interface EdgeWish {
  /** Where it is; empty, or where no edge is: anywhere. */
  region: string;
  /** Edges that it could not reach: they come last, as they may be back. */
  failedUrls?: readonly string[];
}

/**
 * The edges to try, in this order, at most {@link edgesMax}; none that is full.
 * @param random from 0 to below 1
 */
export function chooseEdges(
  offers: readonly EdgeOffer[],
  { region, failedUrls = [] }: EdgeWish,
  random: () => number,
): EdgeOffer[] {
  const rank = (offer: EdgeOffer) =>
    (failedUrls.includes(offer.url) ? 2 : 0) + (region !== "" && offer.region !== region ? 1 : 0);
  return offers
    .filter((offer) => freeCapacity(offer) > 0)
    .map((offer) => ({ offer, rank: rank(offer), turn: turnOf(freeCapacity(offer), random()) }))
    .sort((a, b) => a.rank - b.rank || a.turn - b.turn)
    .slice(0, edgesMax)
    .map(({ offer }) => offer);
}

/** In connections; what an edge's chance is in proportion to. */
export function freeCapacity({ connectionsMax, load }: EdgeOffer): number {
  return connectionsMax * Math.max(0, 1 - load);
}

/**
 * When an edge's turn comes: exponentially distributed with its weight as the rate, so that the
 * first of several has come with a chance in proportion to its weight (Efraimidis and Spirakis,
 * "Weighted random sampling with a reservoir", 2006).
 */
function turnOf(weight: number, random: number): number {
  return -Math.log(1 - random) / weight;
}
