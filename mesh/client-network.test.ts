import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { clientNetwork } from "./client-network.ts";

describe("clientNetwork", () => {
  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:0DB8:0001:0002::1", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["2001:db8:1:2:3::", "2001:db8:1:2::/64"],
    ["64:ff9b::192.0.2.1", "64:ff9b:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["unknown", "unknown"],
    ["", ""],
  ])("[O3] of %s is %s", (address, network) => {
    expect(clientNetwork(address)).toBe(network);
  });

  it("[O3] is the same for all addresses of a /64, however written, and for no other", () => {
    const words = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 4, maxLength: 4 });
    // The networks that begin with zeros have addresses that stand for IPv4.
    const network = words.filter(([first]) => first !== 0);
    const plain = (all: number[]) => all.map((word) => word.toString(16)).join(":");
    const shortest = (all: number[]) => new URL(`http://[${plain(all)}]`).hostname.slice(1, -1);
    fc.assert(
      fc.property(network, network, words, words, (one, other, end, otherEnd) => {
        const is = clientNetwork(plain([...one, ...end]));
        expect(clientNetwork(shortest([...one, ...otherEnd]))).toBe(is);
        const isSame = plain(one) === plain(other);
        expect(clientNetwork(shortest([...other, ...end])) === is).toBe(isSame);
      }),
    );
  });
});
