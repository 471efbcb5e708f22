/** What edges say of themselves in the registry, for those who send clients to them. */
import type { Instance } from "./registry.ts";

/** Under this name edges are registered. They serve no gRPC: the address is for clients. */
export const edgeService = "parley.edge";

/** An edge to which clients may be sent. */
export interface EdgeOffer {
  /** Where clients reach it: "https://edge-1.example.com". */
  url: string;
  /** Where it is, as its operator calls it; empty: not said. */
  region: string;
  /** How many connections it takes, at least 1. */
  connectionsMax: number;
  /** 0 to 1, the greater of its shares of connections and of CPU; 1: it takes no more. */
  load: number;
}

/** An offer as metadata of a registered instance. */
export function offerMetadata({
  url,
  region,
  connectionsMax,
  load,
}: EdgeOffer): Instance["metadata"] {
  return {
    public_url: url,
    region,
    connections_max: String(connectionsMax),
    load: load.toFixed(2),
  };
}

/** What an instance offers; undefined: clients are not sent to it. */
export function offerOf({ metadata }: Instance): EdgeOffer | undefined {
  const { public_url: url, region = "" } = metadata;
  const connectionsMax = Number(metadata.connections_max);
  const load = Number(metadata.load);
  if (!url || !(connectionsMax >= 1) || !(load >= 0)) return undefined;
  return { url, region, connectionsMax, load };
}
