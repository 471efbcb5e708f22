/** Which HTTP request is whose, which pages may see the answer, and how many are under way. */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { cors } from "@connectrpc/connect";
import { Code, RpcError } from "../mesh/errors.ts";
import type { Connections } from "./connections.ts";
import type { EdgeContext } from "./edge-context.ts";
import { isOriginAllowed } from "./handshake.ts";
import { createHttpApi } from "./http-api.ts";
import { HttpFrames } from "./http-frames.ts";
import { HttpTurns } from "./http-turns.ts";
import { connectionHeader, passOn } from "./other-edges.ts";
import { EventStreamTurn, PollTurn } from "./turns.ts";

/** Answers the HTTP requests of an edge. */
export class HttpRoutes {
  private readonly edge: EdgeContext;
  private readonly turns: HttpTurns;
  private readonly frames: HttpFrames;
  private readonly api: RequestListener;
  private underWay = 0;

  constructor(edge: EdgeContext, connections: Connections) {
    this.edge = edge;
    this.turns = new HttpTurns(edge, connections);
    this.frames = new HttpFrames(edge, this.turns, this.checkLoad);
    this.api = createHttpApi(edge, this.checkLoad);
  }

  /** Answers one request. Browsers let only pages of the allowed origins see the answer. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    const { origin } = request.headers;
    if (origin !== undefined && isOriginAllowed(origin, this.edge.config.origins)) {
      response.setHeaders(new Map([...corsHeaders, ["access-control-allow-origin", origin]]));
    }
    if (request.method === "OPTIONS") {
      response.writeHead(204).end();
      return;
    }
    const path = request.url?.split("?", 1)[0];
    const elsewhere = path?.startsWith("/v1/") && this.edge.otherEdges.addressFor(request);
    if (elsewhere) passOn(elsewhere, request, response);
    else if (path === "/v1/events") void this.turns.answer(request, new EventStreamTurn(response));
    else if (path === "/v1/poll") void this.turns.answer(request, new PollTurn(response));
    else {
      this.underWay++;
      response.once("close", () => this.underWay--);
      if (path === "/v1/frames") void this.frames.answer(request, response);
      else this.api(request, response);
    }
  }

  private readonly checkLoad = (): void => {
    const { httpCallsMax } = this.edge.config;
    if (this.underWay <= httpCallsMax) return;
    const text = `${httpCallsMax} calls are under way at this edge, the limit`;
    throw new RpcError(Code.RESOURCE_EXHAUSTED, "OVERLOADED", text, { retryAfterMs: 500 });
  };
}

const corsHeaders: [string, string][] = [
  ["access-control-allow-methods", cors.allowedMethods.join(", ")],
  [
    "access-control-allow-headers",
    [...cors.allowedHeaders, "authorization", "last-event-id", connectionHeader].join(", "),
  ],
  ["access-control-expose-headers", cors.exposedHeaders.join(", ")],
  ["access-control-max-age", "7200"],
  ["vary", "origin"],
];
