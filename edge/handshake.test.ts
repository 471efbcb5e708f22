import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { clientAddress } from "./handshake.ts";

function from(forwarded: string | undefined): IncomingMessage {
  const headers = { "x-forwarded-for": forwarded };
  return { socket: { remoteAddress: "10.0.0.9" }, headers } as unknown as IncomingMessage;
}

describe("[D4] the address of a client", () => {
  it("is the socket's where no proxy is trusted, whatever the client claims", () => {
    expect(clientAddress(from("1.2.3.4"), 0)).toBe("10.0.0.9");
  });

  it("is what the outermost trusted proxy saw, not what the client claimed before", () => {
    expect(clientAddress(from("6.6.6.6, 1.2.3.4"), 1)).toBe("1.2.3.4");
    expect(clientAddress(from("6.6.6.6, 1.2.3.4, 10.0.0.2"), 2)).toBe("1.2.3.4");
  });

  it("is the socket's where the header is missing or too short", () => {
    expect(clientAddress(from(undefined), 1)).toBe("10.0.0.9");
    expect(clientAddress(from("1.2.3.4"), 2)).toBe("10.0.0.9");
  });
});
