import { describe, expect, it } from "vitest";
import { parseDialogues } from "./replay-dialogues.ts";

const good = '{"language":"english","topic":"food","turns":["Hungry?","Always."]}';

describe("a file of dialogues", () => {
  it("is read line by line, whatever the script and without its empty lines", () => {
    const other = '{"language":"עברית","topic":"אוכל","turns":["רעב?"],"more":1}';
    expect(parseDialogues(`${good}\n\n${other}\r\n`, 10)).toEqual([
      { line: 1, language: "english", topic: "food", turns: ["Hungry?", "Always."] },
      { line: 3, language: "עברית", topic: "אוכל", turns: ["רעב?"] },
    ]);
  });

  it("is read no further than asked for", () => {
    expect(parseDialogues(`${good}\n${good}\nno JSON`, 2)).toHaveLength(2);
  });

  it.each([
    ["{", /^line 2 is no JSON: /],
    ["[]", /^line 2 is no dialogue: .*object/],
    ['{"language":"a","topic":"b"}', /^line 2 is no dialogue: turns: /],
    ['{"language":"a","topic":"b","turns":[]}', /^line 2 is no dialogue: turns: /],
    ['{"language":"a","topic":"b","turns":["c",""]}', /^line 2 is no dialogue: turns\.1: /],
    ['{"language":"","topic":"b","turns":["c"]}', /^line 2 is no dialogue: language: /],
  ])("with the line %s is refused with the line's number", (line, message) => {
    expect(() => parseDialogues(`${good}\n${line}\n${good}`, 10)).toThrow(message);
  });

  it("takes texts as long as the server does, counted in code points, and no longer", () => {
    const line = (text: string) => JSON.stringify({ ...JSON.parse(good), turns: [text] });
    const longest = "\u{1f344}".repeat(99_999);
    expect(parseDialogues(line(longest), 10)[0]!.turns).toEqual([longest]);
    expect(() => parseDialogues(line(`${longest}x`), 10)).toThrow(
      "line 1 is no dialogue: turns.0: Too big: expected at most 99999 code points",
    );
  });

  it("with nothing in it is refused", () => {
    expect(() => parseDialogues("\n", 10)).toThrow("there is no dialogue in the file");
  });
});
