import { describe, expect, it } from "vitest";
import { Code, toRpcError } from "../../mesh/errors.ts";
import { StreamFull, StreamUnavailable } from "../../mesh/streams.ts";
import { asUnavailable, messageCodes } from "./message-codes.ts";
import { StoreUnavailable } from "./store/message-store.ts";

describe("what callers of Message are told", () => {
  it.each([
    [new StreamFull("LOG-1: maximum bytes exceeded"), Code.RESOURCE_EXHAUSTED, "LOG_FULL"],
    [new StreamUnavailable("NATS is away"), Code.UNAVAILABLE, "UNAVAILABLE"],
    [new StoreUnavailable("Cassandra is away"), Code.UNAVAILABLE, "UNAVAILABLE"],
  ])("[R1] of %s is when to come back", (thrown, code, reason) => {
    const error = toRpcError(asUnavailable(thrown), messageCodes);
    expect(error).toMatchObject({ code, reason });
    expect(error.details.retryAfterMs).toBeGreaterThan(0);
    expect(error.message).not.toContain(thrown.message);
  });
});
