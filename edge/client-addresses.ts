import type { IncomingMessage } from "node:http";
import type { Clock } from "../mesh/clock.ts";
import { signCall, verifyCall } from "../mesh/identity.ts";

/** Stands in what another edge passed on: the client's address, and the proof of it. */
export const passedOnHeader = "parley-passed-on";

/** What an edge needs to know whose requests it is given. */
export interface ClientAddressesOptions {
  /** How many trusted proxies in front of the edge append to X-Forwarded-For. */
  forwardedHops: number;
  /** The secret that the processes of the mesh share. */
  meshSecret: string;
  clock: Clock;
}

/** Which client's address a request comes from. */
export class ClientAddresses {
  private readonly options: ClientAddressesOptions;

  constructor(options: ClientAddressesOptions) {
    this.options = options;
  }

  /**
   * The address of the client: what the edge says that passed the request on; else what the
   * outermost trusted proxy saw; else the socket's. Whatever lies before that in X-Forwarded-For,
   * or has no proof, is the client's own claim.
   */
  of(request: IncomingMessage): string {
    const { headers, socket } = request;
    const { forwardedHops } = this.options;
    const told = this.told(String(headers[passedOnHeader] ?? ""));
    if (told !== undefined) return told;
    const own = socket.remoteAddress ?? "";
    if (forwardedHops === 0) return own;
    const seen = String(headers["x-forwarded-for"] ?? "").split(",");
    return seen.at(-forwardedHops)?.trim() || own;
  }

  /** The value of {@link passedOnHeader} that tells another edge of the request's client. */
  passOn(request: IncomingMessage): string {
    const { meshSecret, clock } = this.options;
    const address = this.of(request);
    return `${address} ${signCall(meshSecret, scope(address), undefined, clock.nowMs())}`;
  }

  /** The address in a header that an edge made; undefined: it is missing, forged or too old. */
  private told(header: string): string | undefined {
    const at = header.lastIndexOf(" ");
    if (at < 0) return undefined;
    const { meshSecret, clock } = this.options;
    const address = header.slice(0, at);
    const proof = header.slice(at + 1);
    const proven = verifyCall(meshSecret, scope(address), proof, clock.nowMs());
    return proven === "refused" ? undefined : address;
  }
}

/** What the proof is for, where calls have their method's path. */
function scope(address: string): string {
  return `${passedOnHeader} ${address}`;
}
