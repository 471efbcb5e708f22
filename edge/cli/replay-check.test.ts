import { beforeEach, describe, expect, it } from "vitest";
import { checkDevice, checkHistory, Faults, type Shown } from "./replay-check.ts";
import type { PlannedChannel } from "./replay-plan.ts";

/** What every count is when nothing is wrong. */
const none = {
  lost: 0,
  duplicated: 0,
  reordered: 0,
  text_mismatches: 0,
  mark_mismatches: 0,
  unrepaired_gaps: 0,
};

/** Two dialogues that were said in turn: a0, b0, a1, b1. */
function said(): { channel: PlannedChannel; history: Shown[] } {
  const dialogue = (name: string, line: number, ids: bigint[]) => ({
    line,
    turns: ids.map((acknowledgedId, at) => ({
      text: `text of ${name}${at}`,
      pauseMs: 0,
      doings: { changes: [] },
      clientMessageId: `${name}${at}`,
      acknowledgedId,
    })),
  });
  const created = {
    messageId: 1n,
    prevMessageId: 0n,
    clientMessageId: "c",
    text: undefined,
    marks: "",
  };
  const texts = ["a0", "b0", "a1", "b1"].map((clientMessageId, at) => ({
    messageId: BigInt(at + 2),
    prevMessageId: BigInt(at + 1),
    clientMessageId,
    text: `text of ${clientMessageId}`,
    marks: "",
  }));
  return {
    channel: {
      title: "english/ai",
      visits: [],
      dialogues: [dialogue("a", 1, [2n, 4n]), dialogue("b", 2, [3n, 5n])],
    },
    history: [created, ...texts],
  };
}

/** Closes the chain over messages that were taken out or put in. */
function chained(messages: readonly Shown[]): Shown[] {
  return messages.map((message, at) => ({
    ...message,
    prevMessageId: messages[at - 1]?.messageId ?? 0n,
  }));
}

describe("the check of a history", () => {
  let faults: Faults;
  let channel: PlannedChannel;
  let history: Shown[];

  beforeEach(() => {
    faults = new Faults();
    ({ channel, history } = said());
  });

  it("finds nothing where nothing is wrong", () => {
    checkHistory(channel, history, faults);
    expect(faults.counts).toEqual(none);
    expect(faults.described).toEqual([]);
  });

  it("counts a message that is not there as lost", () => {
    checkHistory(channel, chained(history.toSpliced(2, 1)), faults);
    expect(faults.counts).toEqual({ ...none, lost: 1 });
    expect(faults.described).toEqual([
      "lost: english/ai: turn 1 of line 2 is not in the history (as 3)",
    ]);
  });

  it("counts a turn that was never said as lost", () => {
    const turns = channel.dialogues.flatMap((dialogue) => dialogue.turns);
    delete turns[3]!.clientMessageId;
    delete turns[3]!.acknowledgedId;
    checkHistory(channel, history.slice(0, -1), faults);
    expect(faults.counts).toEqual({ ...none, lost: 1 });
  });

  it("counts everything as lost where there is no history", () => {
    checkHistory(channel, [], faults);
    expect(faults.counts).toEqual({ ...none, lost: 4 });
  });

  it("counts a message under another id than was acknowledged as lost", () => {
    channel.dialogues[0]!.turns[0]!.acknowledgedId = 99n;
    checkHistory(channel, history, faults);
    expect(faults.counts).toEqual({ ...none, lost: 1 });
  });

  it("counts a message that is there twice as duplicated", () => {
    const again = { ...history[4]!, messageId: 6n };
    checkHistory(channel, chained([...history, again]), faults);
    expect(faults.counts).toEqual({ ...none, duplicated: 1 });
  });

  it("counts a message that nobody sent as duplicated", () => {
    const foreign = { ...history[4]!, messageId: 6n, clientMessageId: "x" };
    checkHistory(channel, chained([...history, foreign]), faults);
    expect(faults.counts).toEqual({ ...none, duplicated: 1 });
  });

  it("counts a turn before the one that it answers as reordered", () => {
    const [created, a0, b0, a1, b1] = history as [Shown, Shown, Shown, Shown, Shown];
    const swapped = [{ ...a1, messageId: 2n }, b0, { ...a0, messageId: 4n }];
    const turns = channel.dialogues[0]!.turns;
    [turns[0]!.acknowledgedId, turns[1]!.acknowledgedId] = [4n, 2n];
    checkHistory(channel, chained([created, ...swapped, b1]), faults);
    expect(faults.counts).toEqual({ ...none, reordered: 1 });
  });

  it("counts ids that don't increase as reordered", () => {
    const [created, a0, b0, a1, b1] = history as [Shown, Shown, Shown, Shown, Shown];
    checkHistory(channel, [created, a0, b0, b1, a1], faults);
    expect(faults.counts).toMatchObject({ lost: 0, duplicated: 0, reordered: 1 });
  });

  it("counts a changed text as a mismatch, though only its encoding differs", () => {
    for (const turn of channel.dialogues[0]!.turns) Object.assign(turn, { text: "caf\u00e9" });
    history[1]!.text = "caf\u00e9";
    history[3]!.text = "cafe\u0301";
    checkHistory(channel, history, faults);
    expect(faults.counts).toEqual({ ...none, text_mismatches: 1 });
  });

  it("counts a message that does not name the one before it as a gap", () => {
    history[3]!.prevMessageId = 2n;
    checkHistory(channel, history, faults);
    expect(faults.counts).toEqual({ ...none, unrepaired_gaps: 1 });
  });
});

describe("the check of what was changed", () => {
  it("[M9] expects edits, deletions, reactions and answers as people made them", () => {
    const faults = new Faults();
    const { channel, history } = said();
    const [a0, a1] = channel.dialogues[0]!.turns;
    Object.assign(a0!, { editedText: "edited", reactions: new Set(["👍 ben"]) });
    Object.assign(a1!, { isDeleted: true, doings: { replyTo: 0, changes: [] } });
    checkHistory(channel, history, faults);
    expect(faults.counts).toEqual({ ...none, text_mismatches: 2, mark_mismatches: 2 });
    const changed = history.map((message) => {
      if (message.messageId === 2n) return { ...message, text: "edited", marks: "👍 ben" };
      if (message.messageId === 4n) return { ...message, text: undefined, marks: "deleted" };
      return message;
    });
    const none2 = new Faults();
    checkHistory(channel, changed, none2);
    expect(none2.counts).toEqual(none);
  });
});

describe("the check of a device", () => {
  let faults: Faults;
  const { history } = said();
  const [created, a0, b0, a1, b1] = history as [Shown, Shown, Shown, Shown, Shown];

  const check = (...told: Shown[]) => {
    faults = new Faults();
    checkDevice("english/ai at r1", told, history, faults);
    return faults.counts;
  };

  it("finds nothing where nothing is wrong", () => {
    expect(check(...history)).toEqual(none);
  });

  it("counts what was not told at the end as lost", () => {
    expect(check(created, a0, b0, a1)).toEqual({ ...none, lost: 1 });
    expect(faults.described).toEqual(["lost: english/ai at r1: 5 was not told"]);
  });

  it("counts what was not told in the middle as lost and as a gap", () => {
    expect(check(created, a0, a1, b1)).toEqual({ ...none, lost: 1, unrepaired_gaps: 1 });
  });

  it("counts a membership change that was not told as lost", () => {
    expect(check(a0, b0, a1, b1)).toEqual({ ...none, lost: 1, unrepaired_gaps: 1 });
  });

  it("counts what was told twice as duplicated", () => {
    expect(check(created, a0, b0, b0, a1, b1)).toEqual({ ...none, duplicated: 1 });
  });

  it("counts what was told too late as reordered, and that it was passed over as a gap", () => {
    expect(check(created, a0, a1, b0, b1)).toEqual({ ...none, reordered: 1, unrepaired_gaps: 1 });
  });

  it("counts another text than the history's as a mismatch", () => {
    const other = { ...b0, text: "another" };
    expect(check(created, a0, other, a1, b1)).toEqual({ ...none, text_mismatches: 1 });
  });

  it("counts what was deleted, answered or reacted to otherwise than in the history", () => {
    const other = { ...b0, marks: "👍 ann" };
    expect(check(created, a0, other, a1, b1)).toEqual({ ...none, mark_mismatches: 1 });
  });

  it("counts what was told and is not in the history as lost", () => {
    const phantom = { ...b1, messageId: 6n, prevMessageId: 5n, clientMessageId: "p" };
    expect(check(...history, phantom)).toEqual({ ...none, lost: 1 });
  });

  it("describes the first faults and counts the others", () => {
    const { lost } = check();
    expect(lost).toBe(5);
    for (let n = 0; n < 100; n++) faults.add("lost", "more");
    expect(faults.counts.lost).toBe(105);
    expect(faults.described).toHaveLength(20);
  });
});
