import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cutText, harmless, textWidth, wrapText } from "./terminal-text.ts";

const anyText = fc.string({ unit: "binary" });

describe("text for a terminal", () => {
  it("lets no control character of other people's through", () => {
    expect(harmless("\u001b[2J\u009b31mred\u0007")).toBe("\ufffd[2J\ufffd31mred\ufffd");
    fc.assert(
      fc.property(anyText, (text) => {
        for (const character of harmless(text)) {
          expect(character === "\n" || !/[\p{Cc}]/u.test(character)).toBe(true);
        }
      }),
    );
  });

  it("leaves any other text as it is", () => {
    const text = "Grüße, 世界! 👩‍👩‍👧 e\u0301\nzweite Zeile";
    expect(harmless(text)).toBe(text);
  });

  it("knows the columns of wide characters, emoji and accents", () => {
    expect(textWidth("abc")).toBe(3);
    expect(textWidth("世界")).toBe(4);
    expect(textWidth("👩‍👩‍👧!")).toBe(3);
    expect(textWidth("e\u0301")).toBe(1);
  });

  it("breaks at spaces, and inside words that are too long", () => {
    expect(wrapText("the quick brown fox", 10)).toEqual(["the quick", "brown fox"]);
    expect(wrapText("abcdefghij klm", 4)).toEqual(["abcd", "efgh", "ij", "klm"]);
    expect(wrapText("世界世界", 5)).toEqual(["世界", "世界"]);
    expect(wrapText("one\n\ntwo", 20)).toEqual(["one", "", "two"]);
  });

  it("never makes a line wider than asked, and loses nothing but spaces", () => {
    const words = fc.string({ unit: fc.constantFrom("a", "世", "👍", " ", "\n", "é") });
    fc.assert(
      fc.property(words, fc.integer({ min: 2, max: 20 }), (text, width) => {
        const lines = wrapText(text, width);
        for (const line of lines) expect(textWidth(line)).toBeLessThanOrEqual(width);
        expect(lines.join("").replace(/\s/g, "")).toBe(text.replace(/\s/g, ""));
      }),
    );
  });

  it("cuts to one line", () => {
    expect(cutText("hello\nworld", 20)).toBe("hello world");
    expect(cutText("hello world", 7)).toBe("hello …");
  });
});
