import { Metadata } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { Code, RpcError } from "./errors.ts";
import { errorFromStatus, errorTrailers } from "./status-details.ts";

describe("the error of a failed call", () => {
  it("says after a service's answer what the service said", () => {
    const violation = { field: "text", description: "is empty" };
    const details = { fieldViolations: [violation], retryAfterMs: 1_234 };
    const sent = new RpcError(Code.UNAVAILABLE, "LOG_FULL", "no room", details);
    const {
      code,
      reason,
      message,
      details: got,
    } = errorFromStatus(...[sent.code, sent.message, errorTrailers(sent)]);
    expect({ code, reason, message }).toEqual({ code: 14, reason: "LOG_FULL", message: "no room" });
    expect(got.fieldViolations).toMatchObject([violation]);
    expect(got.retryAfterMs).toBe(1_234);
  });

  it("[R1] says when to try again, where nobody answered", () => {
    for (const code of [Code.UNAVAILABLE, Code.INTERNAL]) {
      const error = errorFromStatus(code, "Received RST_STREAM with code 2", new Metadata());
      expect(error).toMatchObject({ code: Code.UNAVAILABLE, reason: "UNREACHABLE" });
      expect(error.details.retryAfterMs).toBe(500);
    }
  });
});
