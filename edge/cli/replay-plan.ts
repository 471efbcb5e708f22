/** What is said where: a direct channel for every dialogue, a group for every topic. */
import { planDoings, planVisits } from "./replay-changes.ts";
import type { Dialogue } from "./replay-dialogues.ts";
import type { Turn } from "./replay-turn.ts";

/** A dialogue in one channel. */
export interface PlannedDialogue {
  readonly line: number;
  readonly turns: readonly Turn[];
}

/** A channel with all that is to be said in it. */
export interface PlannedChannel {
  /** For people: "english/ai" or "line 12". */
  readonly title: string;
  readonly dialogues: readonly PlannedDialogue[];
  /** How long a guest stays each time, in milliseconds. */
  readonly visits: readonly number[];
}

/** A group with the dialogues of one topic in one language. */
export interface PlannedTopic {
  /** Says its dialogues in the order of `direct`, as far as members fit in. */
  readonly group: PlannedChannel;
  /** One channel for each dialogue. */
  readonly direct: readonly PlannedChannel[];
}

/** Dialogues that a group has room for: it takes 100 members, two to a dialogue. */
export const groupDialoguesMax = 50;

/** One turn in so many is thought about for up to `pauseMsMax`. */
const pauseEvery = 8;
const pauseMsMax = 20;

/**
 * Plans a replay. The seed decides the order of topics, the order of a topic's dialogues, who
 * pauses when, and what is done around a share of the turns, 0 to 1. Groups take the first
 * dialogues of their topic in the order of the file.
 */
export function planTopics(
  dialogues: readonly Dialogue[],
  seed: number,
  changedShare = 0,
): PlannedTopic[] {
  const random = seededRandom(seed);
  const byTopic = new Map<string, Dialogue[]>();
  for (const dialogue of dialogues) {
    const title = `${dialogue.language}/${dialogue.topic}`;
    byTopic.set(title, [...(byTopic.get(title) ?? []), dialogue]);
  }
  const topics = [...byTopic].map(([title, dialogues]) =>
    planTopic(title, dialogues, changedShare, random),
  );
  return shuffled(topics, random);
}

function planTopic(
  title: string,
  dialogues: Dialogue[],
  changedShare: number,
  random: () => number,
): PlannedTopic {
  const inGroup = shuffled(dialogues.slice(0, groupDialoguesMax), random);
  const others = shuffled(dialogues.slice(groupDialoguesMax), random);
  const plan = ({ line, turns }: Dialogue): PlannedDialogue => {
    const doings = planDoings(turns, changedShare, random);
    const paced = turns.map((text, at) => ({
      text,
      pauseMs: random() * pauseEvery < 1 ? random() * pauseMsMax : 0,
      doings: doings[at]!,
    }));
    return { line, turns: paced };
  };
  return {
    group: { title, dialogues: inGroup.map(plan), visits: planVisits(changedShare, random) },
    direct: [...inGroup, ...others].map((dialogue) => ({
      title: `line ${dialogue.line}`,
      dialogues: [plan(dialogue)],
      visits: [],
    })),
  };
}

/** Fisher and Yates. */
function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const mixed = [...items];
  for (let left = mixed.length; left > 1; left--) {
    const at = Math.floor(random() * left);
    [mixed[at], mixed[left - 1]] = [mixed[left - 1]!, mixed[at]!];
  }
  return mixed;
}

/** Numbers from 0 to below 1: mulberry32 (Tommy Ettinger), good enough to mix with. */
function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z ^= z + Math.imul(z ^ (z >>> 7), 61 | z);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}
