/**
 * The public methods over HTTP/1.1: Connect (Protobuf or JSON, so that curl will do) and
 * gRPC-Web, made from the contracts like the calls over WebSocket. Who calls is told by a bearer
 * token, checked before the body is read.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Message } from "@bufbuild/protobuf";
import {
  cors,
  createContextKey,
  createContextValues,
  type HandlerContext,
} from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Code, RpcError } from "../mesh/errors.ts";
import { methodPath } from "../mesh/methods.ts";
import type { Identity } from "../mesh/rpc.ts";
import type { EdgeContext } from "./edge-context.ts";
import { clientAddress, isOriginAllowed } from "./handshake.ts";
import { toConnectError } from "./http-error.ts";
import { type PublicMethod, publicMethods } from "./public-methods.ts";

/** Answers the HTTP requests of an edge. */
export class HttpApi {
  private readonly edge: EdgeContext;
  private readonly adapter: RequestListener;
  private underWay = 0;

  constructor(edge: EdgeContext) {
    this.edge = edge;
    this.adapter = connectNodeAdapter({
      routes: (router) => {
        for (const found of publicMethods.values()) {
          router.rpc(found.method, (request, context) => this.call(found, request, context));
        }
      },
      grpc: false,
      requestGate: (context) => this.admit(context),
      contextValues: (request) =>
        createContextValues().set(
          addressKey,
          clientAddress(request as IncomingMessage, edge.config.forwardedHops),
        ),
      readMaxBytes: edge.config.jsonFrameBytesMax,
      writeMaxBytes: responseBytesMax,
      acceptCompression: [],
    });
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
    this.underWay++;
    response.once("close", () => this.underWay--);
    this.adapter(request, response);
  }

  /** Runs before the body is read. @throws ConnectError */
  private async admit({ method, requestHeader, values }: HandlerContext): Promise<void> {
    const { config, verifier } = this.edge;
    try {
      if (this.underWay > config.httpCallsMax) {
        const text = `${config.httpCallsMax} calls are under way at this edge, the limit`;
        throw new RpcError(Code.RESOURCE_EXHAUSTED, "OVERLOADED", text, { retryAfterMs: 500 });
      }
      if (!publicMethods.get(methodPath(method).slice(1))?.needsIdentity) return;
      const [scheme, token] = (requestHeader.get("authorization") ?? "").split(" ");
      const isBearer = scheme?.toLowerCase() === "bearer";
      values.set(identityKey, await verifier.verify(isBearer ? (token ?? "") : ""));
    } catch (error) {
      throw toConnectError(error);
    }
  }

  private async call(
    { method, name }: PublicMethod,
    request: Message,
    context: HandlerContext,
  ): Promise<Message> {
    const { mesh, metrics } = this.edge;
    const identity = context.values.get(identityKey);
    let code = 0;
    try {
      return await mesh.call(method, request, {
        ...(identity && { identity }),
        timeoutMs: context.timeoutMs() ?? 0,
        clientAddress: context.values.get(addressKey),
      });
    } catch (error) {
      const connectError = toConnectError(error);
      code = connectError.code;
      throw connectError;
    } finally {
      metrics.calls.inc({ method: name, transport: "http", code });
    }
  }
}

const identityKey = createContextKey<Identity | undefined>(undefined);
const addressKey = createContextKey("");

/** As the mesh's own limit. */
const responseBytesMax = 4 * 1024 * 1024;

const corsHeaders: [string, string][] = [
  ["access-control-allow-methods", cors.allowedMethods.join(", ")],
  ["access-control-allow-headers", [...cors.allowedHeaders, "authorization"].join(", ")],
  ["access-control-expose-headers", cors.exposedHeaders.join(", ")],
  ["access-control-max-age", "7200"],
  ["vary", "origin"],
];
