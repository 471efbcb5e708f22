/**
 * The words of texts, as the search index holds them and as queries ask for them. What is a word
 * depends on its own characters, never on a dictionary nor on what stands around it, so that a
 * query is cut as the text was (docs/adr/search-words.md).
 *
 * - In scripts with spaces a word is a run of letters, marks and digits.
 * - In scripts without (Han, kana, Hangul, Thai, Lao, Khmer, Burmese) each character with its marks
 *   is a word, and each two that touch are one more: any part of a run is found, one character too.
 * - A symbol (an emoji, a currency, "|") is a word. Punctuation is none.
 */

/** A word of a folded text. */
export interface Word {
  term: string;
  /** Its number in the text, from 1. Two characters that touch have the first one's. */
  position: number;
  /** UTF-16 units of the folded text, the end exclusive. */
  start: number;
  end: number;
}

/** Words of a text that are indexed; what follows is not found. tsvector counts no further. */
export const positionsMax = 16_383;
/** UTF-16 units of a word that count; a longer one is cut. A tsvector refuses 2,047 bytes. */
const termUnitsMax = 64;

const unspaced = String.raw`[[\p{L}\p{N}]&&[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Bopo}\p{scx=Hang}\p{scx=Thai}\p{scx=Laoo}\p{scx=Khmr}\p{scx=Mymr}]]`;
const wordPattern = new RegExp(
  String.raw`(?<unspaced>${unspaced}\p{M}*)|\p{S}|[[\p{L}\p{M}\p{N}]--${unspaced}]+`,
  "gv",
);
/** What says nothing: joiners and the like, Arabic and Hebrew vowel points, and i's second dot. */
const silent =
  /[\p{Default_Ignorable_Code_Point}\u0307[[\p{Mn}\u0640]&&[\p{scx=Arab}\p{scx=Hebr}]]]/gv;
const ascii = /^[\0-\x7f]*$/;

/**
 * Makes equal what people take for the same: compatible forms (NFKC), letters in any case (ß and
 * ss, all sigmas, all i), vowel points of scripts that leave them out.
 */
export function fold(text: string): string {
  return ascii.test(text) ? text.toLowerCase() : foldNormalized(text.normalize("NFKC"));
}

/** Of each character by itself, so that a part of a text folds as it does in the whole. */
function foldNormalized(text: string): string {
  return text.toUpperCase().toLowerCase().replaceAll("ς", "σ").replace(silent, "");
}

/** The words of a folded text in their order, at most {@link positionsMax} positions. */
export function* wordsOf(folded: string): Generator<Word> {
  let position = 0;
  /** The character of an unspaced script that this word may touch. */
  let before: Word | undefined;
  for (const match of folded.matchAll(wordPattern)) {
    if (++position > positionsMax) return;
    const [run] = match;
    const start = match.index;
    const word = { term: run.slice(0, termUnitsMax), position, start, end: start + run.length };
    if (before?.end === start && match.groups!.unspaced) {
      const term = (before.term + run).slice(0, termUnitsMax);
      yield { ...word, term, position: position - 1, start: before.start };
    }
    yield word;
    before = match.groups!.unspaced ? word : undefined;
  }
}

/** A part of a text, folded. */
interface Piece {
  /** Where it begins in the text, and in the folded text. */
  start: number;
  foldedStart: number;
  text: string;
}

/**
 * About so many UTF-16 units a piece has. What came from where is looked up in the pieces that are
 * asked about alone: it takes 2 µs a unit, some 40 times what folding takes.
 */
const pieceUnits = 64;

/** A text folded as a whole, which knows where in the text a part comes from. */
export class FoldedText {
  readonly folded: string;
  private readonly pieces: Piece[] = [];

  constructor(text: string) {
    const segments = graphemes.segment(text);
    this.folded = "";
    for (let start = 0; start < text.length; ) {
      const end = segments.containing(start + pieceUnits)?.index ?? text.length;
      // A grapheme may be longer than a piece.
      const next = end > start ? end : start + segments.containing(start)!.segment.length;
      const piece = text.slice(start, next);
      this.pieces.push({ start, foldedStart: this.folded.length, text: piece });
      this.folded += fold(piece);
      start = next;
    }
  }

  /** What a part of the folded text comes from. */
  rangeOf(start: number, end: number): { start: number; end: number } {
    const [from, fromPlaces] = this.placesAt(start);
    const [to, toPlaces] = this.placesAt(end - 1);
    return {
      start: from.start + fromPlaces.starts[start - from.foldedStart]!,
      end: to.start + toPlaces.ends[end - 1 - to.foldedStart]!,
    };
  }

  private placesAt(unit: number): [Piece, Places] {
    const piece = this.pieces.findLast(({ foldedStart }) => foldedStart <= unit)!;
    return [piece, foldWithPlaces(piece.text)];
  }
}

/** A text folded, and where in it each UTF-16 unit of that comes from. */
export interface Places {
  folded: string;
  /** The unit of the text at which what the folded unit comes from begins. */
  starts: number[];
  /** The same for its end, exclusive. */
  ends: number[];
}

const graphemes = new Intl.Segmenter("und", { granularity: "grapheme" });

/** Folds a short text and keeps what came from where. */
export function foldWithPlaces(text: string): Places {
  const isNormal = text.normalize("NFKC") === text;
  const parts = isNormal ? text : Array.from(graphemes.segment(text), ({ segment }) => segment);
  const place: Places = { folded: "", starts: [], ends: [] };
  let start = 0;
  for (const part of parts) {
    const folded = fold(part);
    const end = start + part.length;
    place.folded += folded;
    for (let i = 0; i < folded.length; i++) {
      place.starts.push(start);
      place.ends.push(end);
    }
    start = end;
  }
  return place;
}
