import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CloseCode, closeReason } from "./close-codes.ts";

describe("the close codes", () => {
  it("[T1] stand in the protocol's document, all of them", () => {
    const path = join(import.meta.dirname, "../docs/EDGE_PROTOCOL.md");
    const documented = [...readFileSync(path, "utf8").matchAll(/^\| (\d{4}) \| ([A-Z_]+) \|/gm)];
    const names = documented.map(([, code, name]) => [name, Number(code)]);
    expect(Object.fromEntries(names)).toEqual(CloseCode);
  });
});

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
