/**
 * The public methods over HTTP/1.1: Connect (Protobuf or JSON, so that curl will do) and
 * gRPC-Web, made from the contracts like the calls over WebSocket. Who calls is told by a bearer
 * token, checked before the body is read.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Message } from "@bufbuild/protobuf";
import {
  createConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
} from "@connectrpc/connect";
import {
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import { methodPath } from "../mesh/methods.ts";
import type { Identity } from "../mesh/rpc.ts";
import type { EdgeContext } from "./edge-context.ts";
import { completeErrors, toConnectError } from "./http-error.ts";
import { answerProblem, HttpRefused, toProblem } from "./http-problem.ts";
import { bearerToken, bodyTooLarge } from "./http-request.ts";
import { type PublicMethod, publicMethods } from "./public-methods.ts";

/** Throws where too much is under way, at the edge or of this client. */
export type CheckLoad = (clientAddress: string) => void;

/** Makes what answers calls over HTTP. */
export function createHttpApi(edge: EdgeContext, checkLoad: CheckLoad): RequestListener {
  const { addresses, config, log } = edge;
  const router = createConnectRouter({
    grpc: false,
    requestGate: (context) => admit(edge, checkLoad, context),
    readMaxBytes: config.jsonFrameBytesMax,
    writeMaxBytes: responseBytesMax,
    acceptCompression: [],
  });
  for (const found of publicMethods.values()) {
    router.rpc(found.method, (request, context) => perform(edge, found, request, context));
  }
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const handler = handlers.get(request.url!.split("?", 1)[0]!);
    if (!handler) throw new HttpRefused(404, "PATH_UNKNOWN", "there is no such path or method");
    if (Number(request.headers["content-length"]) > config.jsonFrameBytesMax) {
      throw bodyTooLarge(config.jsonFrameBytesMax);
    }
    const address = addresses.of(request);
    const values = createContextValues().set(addressKey, address);
    const asked = universalRequestFromNodeRequest(request, response, undefined, values);
    const answered = await handler(asked);
    if (answered.status === 405) throw methodNotAllowed(handler.allowedMethods);
    if (answered.status === 415) throw mediaTypeUnsupported();
    await universalResponseToNodeResponse(answered, response);
  };
  return (request, response) => {
    answer(request, response).catch((error) => {
      if (!(error instanceof HttpRefused) && !response.destroyed) {
        log.error({ event: "http_call_failed", err: error });
      }
      answerProblem(response, toProblem(error));
    });
  };
}

function methodNotAllowed(allowed: readonly string[]): HttpRefused {
  const allow = [...new Set(allowed)].join(", ");
  return new HttpRefused(405, "HTTP_METHOD_NOT_ALLOWED", `allowed is ${allow}`, { allow });
}

function mediaTypeUnsupported(): HttpRefused {
  const text = `content-type must be one of ${mediaTypes}`;
  return new HttpRefused(415, "MEDIA_TYPE_UNSUPPORTED", text, { "accept-post": mediaTypes });
}

/** Runs before the body is read. @throws ConnectError */
async function admit(
  { verifier }: EdgeContext,
  checkLoad: CheckLoad,
  context: HandlerContext,
): Promise<void> {
  const { method, requestHeader, values } = context;
  completeErrors(context);
  try {
    checkLoad(values.get(addressKey));
    if (!publicMethods.get(methodPath(method).slice(1))?.needsIdentity) return;
    const accessToken = bearerToken(requestHeader.get("authorization"));
    values.set(identityKey, await verifier.verify(accessToken));
  } catch (error) {
    throw toConnectError(error, context);
  }
}

async function perform(
  { mesh, metrics }: EdgeContext,
  { method, name }: PublicMethod,
  request: Message,
  context: HandlerContext,
): Promise<Message> {
  const identity = context.values.get(identityKey);
  let code = 0;
  try {
    return await mesh.call(method, request, {
      ...(identity && { identity }),
      timeoutMs: context.timeoutMs() ?? 0,
      clientAddress: context.values.get(addressKey),
    });
  } catch (error) {
    const connectError = toConnectError(error, context);
    code = connectError.code;
    throw connectError;
  } finally {
    metrics.calls.inc({ method: name, transport: "http", code });
  }
}

const identityKey = createContextKey<Identity | undefined>(undefined);
const addressKey = createContextKey("");

const mediaTypes =
  "application/json, application/proto, application/grpc-web+proto, application/grpc-web+json";

/** As the mesh's own limit. */
const responseBytesMax = 4 * 1024 * 1024;
