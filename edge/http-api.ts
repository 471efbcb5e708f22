/**
 * The public methods over HTTP/1.1: Connect (Protobuf or JSON, so that curl will do) and
 * gRPC-Web, made from the contracts like the calls over WebSocket. Who calls is told by a bearer
 * token, checked before the body is read.
 */
import type { IncomingMessage, RequestListener } from "node:http";
import type { Message } from "@bufbuild/protobuf";
import { createContextKey, createContextValues, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { methodPath } from "../mesh/methods.ts";
import type { Identity } from "../mesh/rpc.ts";
import type { EdgeContext } from "./edge-context.ts";
import { clientAddress } from "./handshake.ts";
import { toConnectError } from "./http-error.ts";
import { bearerToken } from "./http-request.ts";
import { type PublicMethod, publicMethods } from "./public-methods.ts";

/** Makes what answers calls over HTTP. `checkLoad` throws where too much is under way. */
export function createHttpApi(edge: EdgeContext, checkLoad: () => void): RequestListener {
  return connectNodeAdapter({
    routes: (router) => {
      for (const found of publicMethods.values()) {
        router.rpc(found.method, (request, context) => perform(edge, found, request, context));
      }
    },
    grpc: false,
    requestGate: (context) => admit(edge, checkLoad, context),
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

/** Runs before the body is read. @throws ConnectError */
async function admit(
  { verifier }: EdgeContext,
  checkLoad: () => void,
  { method, requestHeader, values }: HandlerContext,
): Promise<void> {
  try {
    checkLoad();
    if (!publicMethods.get(methodPath(method).slice(1))?.needsIdentity) return;
    const accessToken = bearerToken(requestHeader.get("authorization"));
    values.set(identityKey, await verifier.verify(accessToken));
  } catch (error) {
    throw toConnectError(error);
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
    const connectError = toConnectError(error);
    code = connectError.code;
    throw connectError;
  } finally {
    metrics.calls.inc({ method: name, transport: "http", code });
  }
}

const identityKey = createContextKey<Identity | undefined>(undefined);
const addressKey = createContextKey("");

/** As the mesh's own limit. */
const responseBytesMax = 4 * 1024 * 1024;
