import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../mesh/clock-manual.ts";
import { ClientAddresses, passedOnHeader } from "./client-addresses.ts";

const clock = new ManualClock();

function of(headers: IncomingMessage["headers"], forwardedHops: number): string {
  return edge(forwardedHops).of(from(headers));
}

function edge(forwardedHops: number, meshSecret = "secret"): ClientAddresses {
  return new ClientAddresses({ forwardedHops, meshSecret, clock });
}

function from(headers: IncomingMessage["headers"]): IncomingMessage {
  return { socket: { remoteAddress: "10.0.0.9" }, headers } as unknown as IncomingMessage;
}

describe("[D4] the address of a client", () => {
  it("is the socket's where no proxy is trusted, whatever the client claims", () => {
    expect(of({ "x-forwarded-for": "1.2.3.4" }, 0)).toBe("10.0.0.9");
  });

  it("is what the outermost trusted proxy saw, not what the client claimed before", () => {
    expect(of({ "x-forwarded-for": "6.6.6.6, 1.2.3.4" }, 1)).toBe("1.2.3.4");
    expect(of({ "x-forwarded-for": "6.6.6.6, 1.2.3.4, 10.0.0.2" }, 2)).toBe("1.2.3.4");
  });

  it("is the socket's where the header is missing or too short", () => {
    expect(of({}, 1)).toBe("10.0.0.9");
    expect(of({ "x-forwarded-for": "1.2.3.4" }, 2)).toBe("10.0.0.9");
  });

  it.each(["1.2.3.4", "2001:db8::7", ""])("is what the edge saw that passed it on: %j", (seen) => {
    const client = { socket: { remoteAddress: seen }, headers: {} } as unknown as IncomingMessage;
    const passed = { [passedOnHeader]: edge(0).passOn(client), "x-forwarded-for": "6.6.6.6" };
    expect(of(passed, 0)).toBe(seen);
    expect(of(passed, 1)).toBe(seen);
  });

  it("is no other's than an edge has proven, a minute ago at the most", () => {
    const passed = edge(0).passOn(from({}));
    const forged = [
      "1",
      "1.2.3.4",
      passed.replace("10.0.0.9", "1.2.3.4"),
      edge(1, "another secret").passOn(from({ "x-forwarded-for": "1.2.3.4" })),
    ];
    for (const header of forged) expect(of({ [passedOnHeader]: header }, 0)).toBe("10.0.0.9");

    const old = edge(1).passOn(from({ "x-forwarded-for": "1.2.3.4" }));
    clock.advance(60_001);
    expect(of({ [passedOnHeader]: old }, 0)).toBe("10.0.0.9");
  });
});
