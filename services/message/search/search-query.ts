/** What somebody looks for: phrases, all of which a text must have. */
import { fieldInvalid } from "../../../mesh/errors.ts";
import { FoldedText, fold, type Word, wordsOf } from "./search-words.ts";

/** A term, and how many words after the phrase's first one it stands. */
export interface PhraseTerm {
  term: string;
  offset: number;
}

/** Terms at fixed distances, at least one. */
export type Phrase = readonly PhraseTerm[];

/** A part of a text in UTF-16 units, the end exclusive. */
export interface TextRange {
  start: number;
  end: number;
}

/** UTF-16 units of a query. */
const queryUnitsMax = 256;
const phrasesMax = 32;
/** Ranges that are told of one text, and places of a phrase that are looked for. */
const rangesMax = 100;

/**
 * Reads a query: words in any order; "in quotes", or joined by anything but spaces ("e-mail",
 * "l'amour", any run of Chinese), as they follow each other.
 * @throws DomainError FIELD_INVALID
 */
export function parseQuery(query: string): Phrase[] {
  if (query.length > queryUnitsMax) {
    throw fieldInvalid("query", `${query.length} UTF-16 units, must be at most ${queryUnitsMax}`);
  }
  const parts = fold(query).match(/"[^"]*"|[^"\s]+/g) ?? [];
  const phrases = parts.map(phraseOf).filter((phrase) => phrase.length > 0);
  if (phrases.length === 0) throw fieldInvalid("query", "has no word");
  if (phrases.length > phrasesMax) {
    throw fieldInvalid("query", `${phrases.length} words, must be at most ${phrasesMax}`);
  }
  return phrases;
}

/** Of characters that touch, their pairs say all: the characters themselves are in too many texts. */
function phraseOf(text: string): Phrase {
  const words = [...wordsOf(text)];
  const isPart = (word: Word) =>
    words.some((pair) => pair !== word && pair.start <= word.start && word.end <= pair.end);
  const whole = words.filter((word) => !isPart(word));
  return whole.map(({ term, position }) => ({ term, offset: position - whole[0]!.position }));
}

/** Where a text has the phrases; none where it lacks one of them. Ordered, without overlaps. */
export function findPhrases(text: string, phrases: readonly Phrase[]): TextRange[] {
  const terms = new Set(phrases.flatMap((phrase) => phrase.map(({ term }) => term)));
  const whole = new FoldedText(text);
  const words = wordsOf(whole.folded).filter(({ term }) => terms.has(term));
  const byTerm = Map.groupBy(words, ({ term }) => term);
  const ranges: TextRange[] = [];
  for (const phrase of phrases) {
    const found = rangesOf(phrase, byTerm);
    if (found.length === 0) return [];
    ranges.push(...found);
  }
  ranges.sort((a, b) => a.start - b.start || a.end - b.end);
  const merged: TextRange[] = [];
  for (const { start, end } of ranges) {
    const last = merged.at(-1);
    if (last && start < last.end) last.end = Math.max(last.end, end);
    else merged.push({ start, end });
  }
  return merged.slice(0, rangesMax).map(({ start, end }) => whole.rangeOf(start, end));
}

/** In the folded text. */
function rangesOf(phrase: Phrase, byTerm: ReadonlyMap<string, Word[]>): TextRange[] {
  const placesOf = phrase.map(({ term }) => {
    return new Map(byTerm.get(term)?.map((word) => [word.position, word]));
  });
  const ranges: TextRange[] = [];
  for (const [position, { start }] of placesOf[0]!) {
    let end = 0;
    const isHere = phrase.every(({ offset }, i) => {
      const word = placesOf[i]!.get(position + offset);
      end = word?.end ?? 0;
      return word !== undefined;
    });
    if (isHere) ranges.push({ start, end });
    if (ranges.length === rangesMax) break;
  }
  return ranges;
}
