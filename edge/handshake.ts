/** What is checked of a request for a connection before anything is allocated for it. */
import type { IncomingMessage } from "node:http";
import { checkOrigin } from "./cors.ts";
import type { EdgeConfig } from "./edge-config.ts";
import { HttpRefused } from "./http-problem.ts";

/** The path of WebSocket connections. */
export const webSocketPath = "/ws";

/**
 * Picks how the connection speaks: the client's first subprotocol that is known.
 * @throws HttpRefused
 */
export function checkHandshake<Protocol>(
  request: IncomingMessage,
  config: EdgeConfig,
  protocols: ReadonlyMap<string, Protocol>,
): Protocol {
  const path = request.url?.split("?", 1)[0];
  if (path !== webSocketPath) {
    throw new HttpRefused(404, "PATH_UNKNOWN", `WebSocket is at ${webSocketPath}`);
  }
  checkOrigin(request, config.origins);
  const offered = request.headers["sec-websocket-protocol"]?.split(",") ?? [];
  for (const subprotocol of offered) {
    const protocol = protocols.get(subprotocol.trim());
    if (protocol) return protocol;
  }
  const known = [...protocols.keys()].join(" or ");
  const text = `Sec-WebSocket-Protocol must name ${known}`;
  throw new HttpRefused(400, "SUBPROTOCOL_UNKNOWN", text);
}
