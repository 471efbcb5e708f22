/** Text as a terminal shows it: how wide it is, where it breaks, and what must not get through. */

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });
/** What a terminal takes for commands, or for nothing. Line ends and tabs are another matter. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what it is about
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029]/g;
/** East Asian wide and full-width characters, by Unicode's blocks. */
const wide =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]/u;
const emoji = /\p{Emoji_Presentation}|\ufe0f/u;
const invisible = /^[\p{Mark}\p{Cf}]+$/u;

/** Makes other people's text harmless: no escape sequence in it reaches the terminal. */
export function harmless(text: string): string {
  return text.replace(/\r\n?/g, "\n").replace(/\t/g, "    ").replace(controls, "\ufffd");
}

/** The columns that a text of one line takes. */
export function textWidth(text: string): number {
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += graphemeWidth(segment);
  return width;
}

/** The text's lines, broken to a width: at spaces, or inside a word that is wider than that. */
export function wrapText(text: string, width: number): string[] {
  return text.split("\n").flatMap((line) => wrapLine(line, Math.max(2, width)));
}

/** The text on one line, cut to a width. */
export function cutText(text: string, width: number): string {
  const line = text.replaceAll("\n", " ");
  if (textWidth(line) <= width) return line;
  const [first = ""] = splitAt(line, width - 1);
  return `${first}…`;
}

function wrapLine(line: string, width: number): string[] {
  const lines: string[] = [];
  let current = "";
  for (let word of line.split(/(?<= )/)) {
    if (textWidth(current) + textWidth(word.trimEnd()) > width && current !== "") {
      lines.push(current.trimEnd());
      current = "";
    }
    while (textWidth(word.trimEnd()) > width) {
      const [first, rest] = splitAt(word, width);
      lines.push(first);
      word = rest;
    }
    current += word;
  }
  return [...lines, current.trimEnd()];
}

/** What fits into a width, at least one character, and the rest. */
function splitAt(text: string, width: number): [string, string] {
  let used = 0;
  for (const { segment, index } of graphemes.segment(text)) {
    used += graphemeWidth(segment);
    if (used > width && index > 0) return [text.slice(0, index), text.slice(index)];
  }
  return [text, ""];
}

function graphemeWidth(grapheme: string): number {
  if (wide.test(grapheme) || emoji.test(grapheme)) return 2;
  return invisible.test(grapheme) ? 0 : 1;
}
