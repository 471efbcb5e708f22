/** Which HTTP request is whose, which pages may see the answer, and how many are under way. */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { Code, RpcError, retryAfterMsDefault } from "../mesh/errors.ts";
import { within } from "../mesh/lifecycle.ts";
import { AddressCounts } from "./address-counts.ts";
import type { Connections } from "./connections.ts";
import { answerPreflight, shareAnswer } from "./cors.ts";
import type { EdgeContext } from "./edge-context.ts";
import { type CheckLoad, createHttpApi } from "./http-api.ts";
import { answerDocument, isDocument } from "./http-docs.ts";
import { HttpFrames } from "./http-frames.ts";
import { answerProblem } from "./http-problem.ts";
import { HttpTurns } from "./http-turns.ts";
import { passOn } from "./other-edges.ts";
import { requestIdHeader, takeRequestId } from "./request-id.ts";
import { EventStreamTurn, PollTurn } from "./turns.ts";

/** Answers the HTTP requests of an edge. */
export class HttpRoutes {
  private readonly edge: EdgeContext;
  private readonly isReady: () => boolean;
  private readonly turns: HttpTurns;
  private readonly frames: HttpFrames;
  private readonly api: RequestListener;
  private underWay = 0;
  private readonly underWayOf = new AddressCounts();
  private onIdle: (() => void) | undefined;

  /** @param isReady what health checks are told */
  constructor(edge: EdgeContext, connections: Connections, isReady: () => boolean) {
    this.edge = edge;
    this.isReady = isReady;
    this.turns = new HttpTurns(edge, connections);
    this.frames = new HttpFrames(edge, this.turns, this.checkLoad);
    this.api = createHttpApi(edge, this.checkLoad);
  }

  /** Answers one request. Browsers let only pages of the allowed origins see the answer. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url!.split("?", 1)[0]!;
    response.setHeader(requestIdHeader, takeRequestId(request));
    response.once("finish", () => this.logFailure(request, response, path));
    shareAnswer(request, response, this.edge.config.origins);
    if (request.method === "OPTIONS") answerPreflight(response);
    else if (path === "/healthz") this.answerHealth(response);
    else if (this.edge.config.docs && isDocument(path)) {
      void answerDocument(path, request, response);
    } else this.route(path, request, response);
  }

  private route(path: string, request: IncomingMessage, response: ServerResponse): void {
    const { addresses, otherEdges } = this.edge;
    const elsewhere = path.startsWith("/v1/") && otherEdges.addressFor(request);
    if (elsewhere) passOn(elsewhere, addresses.passOn(request), request, response);
    else if (path === "/v1/events") void this.turns.answer(request, new EventStreamTurn(response));
    else if (path === "/v1/poll") void this.turns.answer(request, new PollTurn(response));
    else {
      const address = addresses.of(request);
      this.underWay++;
      this.underWayOf.add(address);
      response.once("close", () => this.onAnswered(address));
      if (path === "/v1/frames") void this.frames.answer(request, response);
      else this.api(request, response);
    }
  }

  private answerHealth(response: ServerResponse): void {
    if (this.isReady()) response.writeHead(200, { "content-type": "text/plain" }).end("ready\n");
    else answerProblem(response, { status: 503, reason: "NOT_READY", detail: "not ready" });
  }

  /**
   * Never the query, which may hold a request. What clients do wrong is for debugging, and so is
   * 503: who has no room for requests has none for lines.
   */
  private logFailure(request: IncomingMessage, { statusCode }: ServerResponse, path: string): void {
    if (statusCode < 400) return;
    const isFault = statusCode >= 500 && statusCode !== 503;
    this.edge.log[isFault ? "warn" : "debug"]({
      event: "http_request_failed",
      request_id: request.headers[requestIdHeader],
      method: request.method,
      path: path.slice(0, loggedPathMax),
      status: statusCode,
    });
  }

  /** Resolves when no call is under way, or when they take too long. */
  async whenIdle(): Promise<void> {
    if (this.underWay === 0) return;
    await within(callsEndMsMax, new Promise<void>((resolve) => (this.onIdle = resolve)));
  }

  private onAnswered(address: string): void {
    this.underWayOf.remove(address);
    if (--this.underWay === 0) this.onIdle?.();
  }

  /** What is asked for counts already. */
  private readonly checkLoad: CheckLoad = (address) => {
    const { httpCallsMax, httpCallsPerAddressMax } = this.edge.config;
    const isOfAddress = this.underWayOf.of(address) > httpCallsPerAddressMax;
    if (!isOfAddress && this.underWay <= httpCallsMax) return;
    const text = isOfAddress
      ? `${httpCallsPerAddressMax} calls of this address are under way, the limit`
      : `${httpCallsMax} calls are under way at this edge, the limit`;
    const retryAfterMs = retryAfterMsDefault;
    throw new RpcError(Code.RESOURCE_EXHAUSTED, "OVERLOADED", text, { retryAfterMs });
  };
}

const loggedPathMax = 200;
/** As long as most calls may take. */
const callsEndMsMax = 5_000;
