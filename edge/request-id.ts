import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** Names a request in its answer and in the edge's log. */
export const requestIdHeader = "x-request-id";

/**
 * The id of a request: the caller's, where it is 1 to 128 letters, digits or `._:-`, else a new one.
 * It stands in the request's headers afterwards, for whoever handles it or has it passed on.
 */
export function takeRequestId({ headers }: Pick<IncomingMessage, "headers">): string {
  const given = String(headers[requestIdHeader] ?? "");
  const id = /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
  headers[requestIdHeader] = id;
  return id;
}
