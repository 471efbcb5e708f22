import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findPhrases, parseQuery } from "./search-query.ts";
import { FoldedText, fold, foldWithPlaces, wordsOf } from "./search-words.ts";

const terms = (text: string) => Array.from(wordsOf(fold(text)), ({ term }) => term);

describe("search words", () => {
  it("[H4] are runs of letters and digits, single symbols, and characters of unspaced scripts", () => {
    expect(terms("Don't panic: 42 towels!")).toEqual(["don", "t", "panic", "42", "towels"]);
    expect(terms("a|b 👍🏽 5€")).toEqual(["a", "|", "b", "👍", "🏽", "5", "€"]);
    expect(terms("Node24版本")).toEqual(["node24", "版", "版本", "本"]);
    expect(terms("カーを")).toEqual(["カ", "カー", "ー", "ーを", "を"]);
    expect(terms("中 国")).toEqual(["中", "国"]);
  });

  it("[H4] are equal where people take them for equal", () => {
    const same = [
      ["Straße", "STRASSE"],
      ["ΟΔΟΣ", "οδος"],
      ["İstanbul", "istanbul"],
      ["ｶﾞｷﾞ", "ガギ"],
      ["e\u0301t\u00e9", "\u00e9te\u0301"],
      ["مُحَمَّد", "محمد"],
      ["می\u200cروم", "میروم"],
      ["ﬁne ①", "fine 1"],
    ];
    for (const [a, b] of same) expect(terms(a!)).toEqual(terms(b!));
  });

  it("[H4] fold to the same with and without places, and places lead back to the text", () => {
    const text = fc.string({ unit: "grapheme" });
    fc.assert(
      fc.property(text, (given) => {
        const { folded, starts, ends } = foldWithPlaces(given);
        expect(folded).toBe(fold(given));
        expect(starts.length).toBe(folded.length);
        for (const [i, start] of starts.entries()) {
          expect(fold(given.slice(start, ends[i]))).toContain(folded[i]);
        }
      }),
    );
  });
});

describe("[H4] a long text, folded", () => {
  const text = fc.string({ unit: "grapheme", minLength: 100, maxLength: 500 });

  it("is folded as a short one, and places lead back to the text as near", () => {
    fc.assert(
      fc.property(text, (given) => {
        const long = new FoldedText(given);
        const { folded, starts, ends } = foldWithPlaces(given);
        expect(long.folded).toBe(folded);
        for (const [i, start] of starts.entries()) {
          const end = Math.min(i + 70, folded.length);
          const range = long.rangeOf(i, end);
          expect(range.start).toBeGreaterThanOrEqual(start);
          expect(range.end).toBeLessThanOrEqual(ends[end - 1]!);
          expect(fold(given.slice(range.start, range.end))).toContain(folded.slice(i, end));
        }
      }),
      { numRuns: 20 },
    );
  });

  it("may be one character with marks without end", () => {
    const marked = `e${"\u0323".repeat(500)}`;
    const long = new FoldedText(`${marked} word`);
    const start = long.folded.indexOf("word");
    const range = { start: marked.length + 1, end: marked.length + 5 };
    expect(long.rangeOf(start, start + 4)).toEqual(range);
  });
});

describe("search queries", () => {
  const highlight = (text: string, query: string) =>
    findPhrases(text, parseQuery(query)).map(({ start, end }) => text.slice(start, end));

  it("[H4] mark what they find, in the text as it was written", () => {
    expect(highlight("Die Straße, STRASSE!", "strasse")).toEqual(["Straße", "STRASSE"]);
    expect(highlight("我喜欢音乐,喜欢", "喜欢")).toEqual(["喜欢", "喜欢"]);
    expect(highlight("ｶﾞｷﾞを", "ガギ")).toEqual(["ｶﾞｷﾞ"]);
    expect(highlight("one two, one two three", '"two three" one')).toEqual([
      "one",
      "one",
      "two three",
    ]);
    expect(highlight("one two", "one three")).toEqual([]);
  });

  it("[H4] find any part of an unspaced text", () => {
    const han = fc.integer({ min: 0x4e00, max: 0x4e0f }).map((code) => String.fromCodePoint(code));
    const parts = fc.array(fc.string({ unit: han, maxLength: 4 }), {
      minLength: 3,
      maxLength: 3,
    });
    fc.assert(
      fc.property(parts, ([before, part, after]) => {
        fc.pre(part !== "");
        expect(highlight(`${before}${part}${after}`, part!)).not.toEqual([]);
      }),
    );
  });

  it("[H4] mark a hundred places of a text at most, wherever they are", () => {
    const places = Array.from({ length: 150 }, (_, i) => `ｶﾞ${"x ".repeat(i)}wörd`);
    expect(highlight(places.join(" "), "WÖRD")).toEqual(Array(100).fill("wörd"));
    const far = `${"\u{1d4b3} ".repeat(30_000)}wo\u0308rd`;
    expect(highlight(far, "wörd")).toEqual([]);
    expect(highlight(far.slice(-20_000), "wörd")).toEqual(["wo\u0308rd"]);
  });

  it("[H4] are refused without a word, with too many, and when too long", () => {
    for (const query of ["", " ?! ", "a ".repeat(33), "a".repeat(257)]) {
      expect(() => parseQuery(query)).toThrow(/query/);
    }
  });
});
