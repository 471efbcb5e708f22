/**
 * Which pages may use the edge: its own, and those of the origins that its settings name. Requests
 * from outside browsers name no origin, and need none. Nothing rests on cookies: a page has what it
 * can do from a token that it must know, so answers never allow credentials.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { cors } from "@connectrpc/connect";
import { HttpRefused } from "./http-problem.ts";
import { connectionHeader } from "./other-edges.ts";
import { requestIdHeader } from "./request-id.ts";

/** @throws HttpRefused where pages of the request's origin may not connect. */
export function checkOrigin({ headers }: IncomingMessage, allowed: readonly string[]): void {
  const { origin, host } = headers;
  if (origin === undefined || isAllowed(origin, allowed) || isOwn(origin, host)) return;
  throw new HttpRefused(403, "ORIGIN_NOT_ALLOWED", "pages of this origin may not connect");
}

/** Says in the answer whose pages may read it. Shared caches must keep answers by origin. */
export function shareAnswer(
  { headers: { origin } }: IncomingMessage,
  response: ServerResponse,
  allowed: readonly string[],
): void {
  const any = allowed.includes("*");
  if (!any) response.setHeader("vary", "origin");
  if (origin === undefined || !isAllowed(origin, allowed)) return;
  response.setHeader("access-control-allow-origin", any ? "*" : origin);
  response.setHeader("access-control-expose-headers", exposedHeaders);
}

/** Answers a browser that asks whether a page may make a request; as `shareAnswer` has said. */
export function answerPreflight(response: ServerResponse): void {
  if (response.hasHeader("access-control-allow-origin")) {
    response.setHeader("access-control-allow-methods", methods);
    response.setHeader("access-control-allow-headers", allowedHeaders);
    response.setHeader("access-control-max-age", preflightAgeMaxSeconds);
  }
  response.writeHead(204, { allow: methods }).end();
}

function isAllowed(origin: string, allowed: readonly string[]): boolean {
  return allowed.includes("*") || allowed.includes(origin);
}

/** Whether the edge itself has served the page. TLS may have ended before the edge. */
function isOwn(origin: string, host: string | undefined): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
}

const methods = cors.allowedMethods.join(", ");
const allowedHeaders = [
  ...cors.allowedHeaders,
  "authorization",
  "last-event-id",
  connectionHeader,
  requestIdHeader,
].join(", ");
const exposedHeaders = [...cors.exposedHeaders, "retry-after", requestIdHeader].join(", ");
/** The longest that browsers keep it. */
const preflightAgeMaxSeconds = "7200";
