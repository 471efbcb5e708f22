import { Agent, request } from "node:https";
import type { LookupFunction } from "node:net";

/** Connections to one host at a time; more requests wait for one. */
const socketsPerHostMax = 16;
/** Connections that are kept for the next request, of all hosts. */
const idleSocketsMax = 64;

/** What a browser's service answered. */
export interface WebPushResponse {
  status: number;
  retryAfter: string | undefined;
}

/** A request to a browser's service. */
export interface WebPushRequest {
  url: URL;
  headers: Record<string, string | number>;
  body: Uint8Array;
  /** How the host is resolved. */
  lookup: LookupFunction;
  signal: AbortSignal;
}

/** Posts over kept connections. Redirects are answers like others. */
export class WebPushRequests {
  private readonly agent: Agent;
  private readonly ca: string | undefined;

  /** `ca`: whom to trust, PEM; undefined: as Node does. */
  constructor(ca: string | undefined) {
    this.ca = ca;
    this.agent = new Agent({
      keepAlive: true,
      maxSockets: socketsPerHostMax,
      maxFreeSockets: idleSocketsMax,
    });
  }

  /** Rejects where there was no answer. */
  post({ url, headers, body, lookup, signal }: WebPushRequest): Promise<WebPushResponse> {
    const { agent, ca } = this;
    const options = { method: "POST", agent, headers, lookup, signal, ...(ca && { ca }) };
    return new Promise((resolve, reject) => {
      const sent = request(url, options, (response) => {
        const { statusCode: status = 0, headers } = response;
        response.on("error", reject);
        response.on("end", () => resolve({ status, retryAfter: headers["retry-after"] }));
        response.resume();
      });
      sent.on("error", reject);
      sent.end(body);
    });
  }

  /** Ends what is under way. */
  close(): void {
    this.agent.destroy();
  }
}
