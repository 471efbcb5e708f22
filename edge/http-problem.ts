/**
 * How the edge answers an HTTP request that fails: with problem details (RFC 9457), the same for
 * every path. Only a call that a service or Connect refuses is answered as Connect has it.
 */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import type { Code as ConnectCode } from "@connectrpc/connect";
import { codeToHttpStatus } from "@connectrpc/connect/protocol-connect";
import type { ErrorDetails } from "../mesh/errors.ts";
import { toCallError } from "./call-error.ts";
import { requestIdHeader, takeRequestId } from "./request-id.ts";

type Headers = Readonly<Record<string, string>>;

/** A request is refused for what HTTP says of it, or for want of room. */
export class HttpRefused extends Error {
  override readonly name = "HttpRefused";
  readonly status: number;
  readonly reason: string;
  readonly headers: Headers;

  constructor(status: number, reason: string, message: string, headers: Headers = {}) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.headers = headers;
  }
}

/** What an answer is made of. */
export interface Problem {
  status: number;
  /** UPPER_SNAKE, stable: what programs decide on. */
  reason: string;
  /** For people. */
  detail: string;
  details?: ErrorDetails;
  headers?: Headers;
  /** Further members, for who knows the path. */
  more?: Readonly<Record<string, unknown>>;
}

/** What is said of anything that was thrown; what was not meant for callers is INTERNAL. */
export function toProblem(thrown: unknown): Problem {
  if (thrown instanceof HttpRefused) {
    const { status, reason, message, headers } = thrown;
    return { status, reason, detail: message, headers };
  }
  const { code, reason, message, details } = toCallError(thrown);
  // Connect's codes are gRPC's.
  const status = codeToHttpStatus(code as number as ConnectCode);
  return { status, reason, detail: message, details };
}

/** Answers a request. One that is being answered already is broken off. */
export function answerProblem(response: ServerResponse, problem: Problem): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { headers, body } = write(problem, String(response.getHeader(requestIdHeader)));
  response.writeHead(problem.status, headers).end(body);
}

/** Answers where there is nothing but a socket, and closes it. */
export function endWithProblem(socket: Duplex, problem: Problem, request?: IncomingMessage): void {
  const requestId = takeRequestId(request ?? { headers: {} });
  const { headers, body } = write(problem, requestId);
  const lines = Object.entries({ ...headers, [requestIdHeader]: requestId, connection: "close" });
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n` +
      `${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body}`,
  );
}

function write(problem: Problem, requestId: string): { headers: Headers; body: string } {
  const { status, reason, detail, details = {}, more } = problem;
  const { fieldViolations, retryAfterMs } = details;
  const body = JSON.stringify({
    type: "about:blank",
    title: STATUS_CODES[status],
    status,
    detail,
    reason,
    request_id: requestId,
    ...(fieldViolations?.length && { field_violations: fieldViolations }),
    ...(retryAfterMs && { retry_after_ms: retryAfterMs }),
    ...more,
  });
  const headers = {
    "content-type": "application/problem+json",
    "content-length": String(Buffer.byteLength(body)),
    ...(retryAfterMs && { "retry-after": retryAfterSeconds(retryAfterMs) }),
    ...(status === 401 && { "www-authenticate": "Bearer" }),
    ...problem.headers,
  };
  return { headers, body };
}

/** As the header Retry-After has it: whole seconds. */
export function retryAfterSeconds(retryAfterMs: number): string {
  return String(Math.ceil(retryAfterMs / 1_000));
}
