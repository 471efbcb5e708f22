/** By which words texts are looked for in tests: none of what the search index knows of words. */

/** Words as Unicode's own rules and dictionaries cut them. */
const segmenter = new Intl.Segmenter("und", { granularity: "word" });

/** A text's words; of one that has none everything but spaces. */
function wordsOf(text: string): string[] {
  const segments = [...segmenter.segment(text)];
  const words = segments.filter(({ isWordLike }) => isWordLike);
  const found = words.length > 0 ? words : segments;
  return found.map(({ segment }) => segment).filter((segment) => segment.trim() !== "");
}

/** For each text, in their order, the one of its words that the fewest others have. */
export function ownWords(texts: readonly string[]): string[] {
  const words = texts.map((text) => new Set(wordsOf(text)));
  const counts = new Map<string, number>();
  for (const word of words.flatMap((all) => [...all])) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return words.map((all) => [...all].reduce((a, b) => (counts.get(b)! < counts.get(a)! ? b : a)));
}
