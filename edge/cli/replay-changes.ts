/**
 * What people do besides talking: they answer a certain message, edit and delete what they said,
 * react to what the other said, and are away while the other talks.
 */
import type { Change, Doings, Turn } from "./replay-turn.ts";

/** One turn in so many, of each kind. */
const replyEvery = 6;
const awayEvery = 25;
const changesMax = 2;
const visitsMax = 3;
const visitMsMax = 400;
const emojis = ["👍", "❤️", "😂", "🎉"];

/** Plans what happens around the turns of a dialogue, for a share of them, 0 to 1. */
export function planDoings(texts: readonly string[], share: number, random: () => number) {
  const deleted = new Set<number>();
  /** Reactions that stand, by the turn. */
  const standing = new Map<number, Set<string>>();
  const below = (max: number) => Math.floor(random() * max);
  const change = (last: number): Change | undefined => {
    const at = below(last + 1);
    if (deleted.has(at)) return undefined;
    const given = standing.get(at) ?? new Set<string>();
    standing.set(at, given);
    const emoji = emojis[below(emojis.length)]!;
    switch (below(5)) {
      case 0:
        deleted.add(at);
        return { kind: "delete", at };
      case 1:
      case 2:
        return { kind: "edit", at, text: `${texts[at]} (${below(1_000)})` };
      default:
        if (given.delete(emoji)) return { kind: "take_back", at, emoji };
        given.add(emoji);
        return { kind: "react", at, emoji };
    }
  };
  return texts.map((_, last): Doings => {
    if (random() >= share) return { changes: [] };
    const replyTo = last > 0 && below(replyEvery) === 0 ? below(last) : undefined;
    const changes = Array.from({ length: 1 + below(changesMax) }, () => change(last));
    return {
      ...(replyTo !== undefined && { replyTo }),
      ...(below(awayEvery) === 0 && { listenerIsAway: true }),
      changes: changes.filter((each) => each !== undefined),
    };
  });
}

/** Plans how long a guest stays in a group, in milliseconds, each time; none where nothing changes. */
export function planVisits(share: number, random: () => number): number[] {
  if (share === 0) return [];
  return Array.from({ length: 1 + Math.floor(random() * visitsMax) }, () => random() * visitMsMax);
}

/** Which of the two of a dialogue does it, 0 or 1: they speak in turn, and react to each other. */
export function whoChanges({ kind, at }: Change): number {
  return kind === "edit" || kind === "delete" ? at % 2 : (at + 1) % 2;
}

/** What a turn's message is after a change that was accepted. */
export function noteChange(turn: Turn, change: Change, userId: string): void {
  const reactions = new Set(turn.reactions);
  switch (change.kind) {
    case "edit":
      turn.editedText = change.text;
      return;
    case "delete":
      turn.isDeleted = true;
      return;
    case "react":
      reactions.add(`${change.emoji} ${userId}`);
      break;
    case "take_back":
      reactions.delete(`${change.emoji} ${userId}`);
      break;
  }
  turn.reactions = reactions;
}
