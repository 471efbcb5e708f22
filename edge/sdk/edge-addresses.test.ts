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

  it("refuses none, and what is no URL", () => {
    expect(() => new EdgeAddresses([])).toThrow(TypeError);
    expect(() => new EdgeAddresses(["edge-1"])).toThrow(TypeError);
  });
});
