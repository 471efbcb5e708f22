import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Dialogue } from "./replay-dialogues.ts";
import { groupDialoguesMax, planTopics } from "./replay-plan.ts";

function dialogues(count: number, language = "latin", topic = "weather"): Dialogue[] {
  return Array.from({ length: count }, (_, at) => ({
    line: at + 1,
    language,
    topic,
    turns: [`question ${at}`, `answer ${at}`],
  }));
}

describe("the plan of a replay", () => {
  it("has every turn of every dialogue once in a direct channel, and in the group's as well", () => {
    const dialogue = fc.record({
      line: fc.nat(),
      language: fc.constantFrom("latin", "greek"),
      topic: fc.constantFrom("weather", "food"),
      turns: fc.array(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 4 }),
    });
    fc.assert(
      fc.property(fc.array(dialogue, { minLength: 1, maxLength: 30 }), fc.nat(), (all, seed) => {
        const plan = planTopics(all, seed);
        const texts = (
          channels: { dialogues: readonly { turns: readonly { text: string }[] }[] }[],
        ) =>
          channels.flatMap((channel) =>
            channel.dialogues.map(({ turns }) => turns.map(({ text }) => text).join("\n")),
          );
        const expected = all.map(({ turns }) => turns.join("\n")).sort();
        expect(texts(plan.flatMap(({ direct }) => direct)).sort()).toEqual(expected);
        expect(texts(plan.map(({ group }) => group)).sort()).toEqual(expected);
      }),
    );
  });

  it("gives a group the first 50 dialogues of its topic: 100 members", () => {
    const [topic] = planTopics(dialogues(120), 1);
    const lines = topic!.group.dialogues.map(({ line }) => line);
    expect(groupDialoguesMax).toBe(50);
    expect(lines.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, at) => at + 1));
    expect(topic!.direct.slice(0, 50).map(({ dialogues: [only] }) => only!.line)).toEqual(lines);
    expect(topic!.direct).toHaveLength(120);
  });

  it("makes a group for each topic of each language", () => {
    const all = [...dialogues(2), ...dialogues(3, "greek"), ...dialogues(1, "latin", "food")];
    const titles = planTopics(all, 1).map(({ group }) => group.title);
    expect(titles.sort()).toEqual(["greek/weather", "latin/food", "latin/weather"]);
  });

  it("is the same for the same seed, and another for another", () => {
    const all = [...dialogues(60), ...dialogues(60, "greek")];
    expect(planTopics(all, 7)).toEqual(planTopics(all, 7));
    expect(planTopics(all, 7)).not.toEqual(planTopics(all, 8));
  });
});
