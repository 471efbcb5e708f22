import { clientNetwork } from "../mesh/client-network.ts";

/**
 * What each client's address, or network of IPv6, has at once of something, so that a limit can
 * leave room for others.
 */
export class AddressCounts {
  private readonly counts = new Map<string, number>();

  /** How many the address has; 0 for the machine's own addresses, which no limit is for. */
  of(address: string): number {
    return this.counts.get(clientNetwork(address)) ?? 0;
  }

  /** The address has one more. */
  add(address: string): void {
    if (!loopback.test(address)) this.counts.set(clientNetwork(address), this.of(address) + 1);
  }

  /** And one less. */
  remove(address: string): void {
    const left = this.of(address) - 1;
    if (left > 0) this.counts.set(clientNetwork(address), left);
    else this.counts.delete(clientNetwork(address));
  }
}

const loopback = /^(?:(?:::ffff:)?127\.|::1$)/;
