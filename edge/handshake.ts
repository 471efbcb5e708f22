/** What is checked of a request for a connection before anything is allocated for it. */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import type { EdgeConfig } from "./edge-config.ts";

/** The path of WebSocket connections. */
export const webSocketPath = "/ws";

/** A handshake that is refused, with an HTTP status and a text that says why. */
export class HandshakeRefused extends Error {
  override readonly name = "HandshakeRefused";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * Picks how the connection speaks: the client's first subprotocol that is known.
 * @throws HandshakeRefused
 */
export function checkHandshake<Protocol>(
  request: IncomingMessage,
  config: EdgeConfig,
  protocols: ReadonlyMap<string, Protocol>,
): Protocol {
  const path = request.url?.split("?", 1)[0];
  if (path !== webSocketPath) throw new HandshakeRefused(404, `WebSocket is at ${webSocketPath}`);
  const { origin } = request.headers;
  if (!isOriginAllowed(origin, config.origins)) {
    throw new HandshakeRefused(403, "pages of this origin may not connect");
  }
  const offered = request.headers["sec-websocket-protocol"]?.split(",") ?? [];
  for (const subprotocol of offered) {
    const protocol = protocols.get(subprotocol.trim());
    if (protocol) return protocol;
  }
  const known = [...protocols.keys()].join(" or ");
  throw new HandshakeRefused(400, `Sec-WebSocket-Protocol must name ${known}`);
}

/** Requests from outside browsers name no origin, and need none. */
export function isOriginAllowed(origin: string | undefined, allowed: readonly string[]): boolean {
  return origin === undefined || allowed.includes("*") || allowed.includes(origin);
}

/** Answers a refused handshake and closes. */
export function refuseHandshake(socket: Duplex, { status, message }: HandshakeRefused): void {
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "Connection: close",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(message) + 1}`,
  ];
  if (status === 503) lines.push("Retry-After: 1");
  socket.end(`${lines.join("\r\n")}\r\n\r\n${message}\n`);
}

/** Says the same in answer to an ordinary request. */
export function answerText(response: ServerResponse, { status, message }: HandshakeRefused): void {
  const retry = status === 503 && { "retry-after": "1" };
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8", ...retry });
  response.end(`${message}\n`);
}

/**
 * The address of the client: the socket's, or what the outermost trusted proxy saw. What lies
 * before that in X-Forwarded-For is the client's own claim.
 */
export function clientAddress(request: IncomingMessage, forwardedHops: number): string {
  const own = request.socket.remoteAddress ?? "";
  if (forwardedHops === 0) return own;
  const seen = String(request.headers["x-forwarded-for"] ?? "").split(",");
  return seen.at(-forwardedHops)?.trim() || own;
}
