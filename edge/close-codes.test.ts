import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { closeReason } from "./close-codes.ts";

describe("the reason of a close", () => {
  it("[T1] fits into a close frame, whatever it is, and begins as it was", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 300 }), (text) => {
        const reason = closeReason(text);
        expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(123);
        expect(text.startsWith(reason)).toBe(true);
        if (Buffer.byteLength(text) <= 123) expect(reason).toBe(text);
      }),
    );
  });
});
