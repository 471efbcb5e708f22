import { describe, expect, it } from "vitest";
import { EdgeAddresses } from "./edge-addresses.ts";

describe("EdgeAddresses", () => {
  it("[R4] one after the other is used, and then the first again", () => {
    const addresses = new EdgeAddresses(["http://a", "http://b/"]);
    expect(addresses.current).toBe("http://a");
    addresses.leave("http://a");
    expect(addresses.current).toBe("http://b");
    addresses.leave("http://b");
    expect(addresses.current).toBe("http://a");
  });

  it("many who leave one at the same time take one step", () => {
    const addresses = new EdgeAddresses(["http://a", "http://b", "http://c"]);
    for (let i = 0; i < 3; i++) addresses.leave("http://a");
    expect(addresses.current).toBe("http://b");
  });

  it("[A4] edges that are assigned come before the URL that the client was given", () => {
    const addresses = EdgeAddresses.of("http://log-in/");
    expect(addresses.areUsedUp).toBe(false);
    addresses.follow(["http://a", "http://b/"]);
    const used = [1, 2, 3].map(() => {
      const { current } = addresses;
      expect(addresses.areUsedUp).toBe(false);
      addresses.leave(current);
      return current;
    });
    expect(used).toEqual(["http://a", "http://b", "http://log-in"]);
    expect(addresses.areUsedUp).toBe(true);
    expect(addresses.failedUrls).toEqual(used);
    expect(addresses.current).toBe("http://a");
    addresses.follow(["http://c"]);
    expect(addresses.current).toBe("http://c");
    expect(addresses.areUsedUp).toBe(false);
    expect(addresses.failedUrls).toEqual(used);
    addresses.settle();
    expect(addresses.failedUrls).toEqual([]);
  });

  it("[R4] where an edge sends its client comes first, the others stay", () => {
    const addresses = EdgeAddresses.of("http://log-in");
    addresses.follow(["http://a", "http://b"]);
    addresses.leave("http://a");
    addresses.goTo("http://c/");
    expect(addresses.current).toBe("http://c");
    addresses.leave("http://c");
    expect(addresses.current).toBe("http://a");
    addresses.goTo("nonsense");
    expect(addresses.current).toBe("http://a");
  });

  it("[D4] a client stays where edges are not assigned, and where the app wants it", () => {
    const balancer = EdgeAddresses.of("http://balancer");
    balancer.follow([]);
    balancer.leave("http://balancer");
    expect(balancer.current).toBe("http://balancer");
    expect(balancer.areUsedUp).toBe(false);
    const chosen = new EdgeAddresses(["http://a", "http://b"]);
    chosen.follow(["http://c"]);
    chosen.goTo("http://d");
    expect(chosen.current).toBe("http://a");
  });

  it("refuses none, and what is no URL", () => {
    expect(() => new EdgeAddresses([])).toThrow(TypeError);
    expect(() => new EdgeAddresses(["edge-1"])).toThrow(TypeError);
  });
});
