/**
 * Requests that a balancer brings to another edge than the one that has their connection: they are
 * passed on to it, so that event streams, polls and what is posted for them need no sticky
 * balancer.
 */
import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { chooseEdges } from "../mesh/edge-choice.ts";
import { type EdgeOffer, offerOf } from "../mesh/edge-offer.ts";
import { unavailable } from "../mesh/errors.ts";
import type { Instance } from "../mesh/registry.ts";
import { passedOnHeader } from "./client-addresses.ts";
import { answerProblem, toProblem } from "./http-problem.ts";

/** Names the connection that posted frames are for. */
export const connectionHeader = "parley-connection";
/** They are about one connection between two, not about what it carries: RFC 9110 section 7.6.1. */
const hopHeaders = ["connection", "keep-alive", "transfer-encoding"];

/** What an edge knows of itself. */
export interface OwnEdge {
  instanceId: string;
  region: string;
  /** Empty: clients come through a balancer. */
  publicUrl: string;
}

/** The other edges, as the registry has them. */
export class OtherEdges {
  private readonly own: OwnEdge;
  private readonly random: () => number;
  private addresses = new Map<string, string>();
  private offers: readonly EdgeOffer[] = [];

  /**
   * @param own the edge that asks
   * @param random from 0 to below 1
   */
  constructor(own: OwnEdge, random: () => number = Math.random) {
    this.own = own;
    this.random = random;
  }

  /** Takes the list of all edges. */
  update(instances: readonly Instance[]): void {
    const others = instances.filter(({ instanceId }) => instanceId !== this.own.instanceId);
    this.addresses = new Map(others.map(({ instanceId, address }) => [instanceId, address]));
    this.offers = others.map(offerOf).filter((offer) => offer !== undefined);
  }

  /** Where a client that has to leave this edge goes on; undefined: it knows that itself. */
  nextUrl(): string | undefined {
    const { region, publicUrl } = this.own;
    // Who came through a balancer goes back through it.
    if (publicUrl === "") return undefined;
    return chooseEdges(this.offers, { region }, this.random)[0]?.url;
  }

  /**
   * Where the request has to go; undefined: it stays here, as what was passed on does. An edge that
   * is gone has taken its connections along: whichever edge is asked begins another.
   */
  addressFor({ headers }: IncomingMessage): string | undefined {
    if (headers[passedOnHeader] !== undefined) return undefined;
    const place = headers[connectionHeader] ?? headers["last-event-id"] ?? "";
    const [connectionId] = String(place).split(".", 1);
    return this.addresses.get(connectionId!.slice(0, connectionId!.lastIndexOf("-")));
  }
}

/**
 * Has another edge answer. Where it can't be reached: 503, and the client begins anew.
 *
 * @param client what tells that edge whose request it is; see ClientAddresses.passOn
 */
export function passOn(
  address: string,
  client: string,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const { method, url } = request;
  const headers = { ...withoutHops(request.headers), [passedOnHeader]: client };
  const passed = httpRequest(`http://${address}${url}`, { method: method!, headers });
  passed.on("response", (answer) => {
    response.writeHead(answer.statusCode!, withoutHops(answer.headers));
    answer.pipe(response);
    answer.on("error", () => response.destroy());
  });
  passed.on("error", () => {
    answerProblem(response, toProblem(unavailable("the edge of this connection is away")));
  });
  response.on("close", () => passed.destroy());
  request.pipe(passed);
}

function withoutHops(headers: IncomingMessage["headers"]): IncomingMessage["headers"] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !hopHeaders.includes(name)));
}
