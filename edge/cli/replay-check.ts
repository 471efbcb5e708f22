/**
 * Whether everything that was said is where it belongs, once and in order. The history is compared
 * with the plan, and what each device was told with the history.
 */
import type { Message } from "../sdk/index.ts";
import type { PlannedChannel } from "./replay-plan.ts";
import type { Turn } from "./replay-turn.ts";

/** A message as a device or the history shows it. */
export interface Shown {
  messageId: bigint;
  prevMessageId: bigint;
  clientMessageId: string;
  /** undefined: a change of the group, or a text that was deleted. */
  text: string | undefined;
  /** What else there is to see of it: "deleted", "answers 123", "👍 user". */
  marks: string;
}

/** A message as it is shown. */
export function shown(message: Message): Shown {
  const { messageId, prevMessageId, clientMessageId, body, deleteTime } = message;
  const text = body.case === "text" ? body.value : undefined;
  const reactions = message.reactions.flatMap(({ emoji, count, userIds }) =>
    userIds.length === count ? userIds.map((userId) => `${emoji} ${userId}`) : `${emoji} ${count}`,
  );
  const marks = marksOf(deleteTime !== undefined, message.replyToMessageId, reactions);
  return { messageId, prevMessageId, clientMessageId, text, marks };
}

function marksOf(isDeleted: boolean, repliesTo: bigint, reactions: Iterable<string>): string {
  const answers = repliesTo === 0n ? [] : [`answers ${repliesTo}`];
  // What was deleted shows nothing else.
  return isDeleted ? "deleted" : [...answers, ...[...reactions].sort()].join(", ");
}

/** What can be wrong with a message, by the names of the report. */
export const faultKinds = [
  /** Not in the history, or not told to a device of a member. */
  "lost",
  /** Twice in the history, told to a device twice, or sent by nobody. */
  "duplicated",
  /** Before the turn that it answers, not in the order of ids, or told out of the history's order. */
  "reordered",
  /** With another text than was sent, or edited to last. */
  "text_mismatches",
  /** Deleted, answering or reacted to otherwise than people did. */
  "mark_mismatches",
  /** Told though the message before it was not. */
  "unrepaired_gaps",
] as const;
/** One of them. */
export type FaultKind = (typeof faultKinds)[number];

/** Faults described in words; further ones are only counted. */
const describedMax = 20;

/** Counts what is wrong. */
export class Faults {
  readonly counts: Record<FaultKind, number> = {
    lost: 0,
    duplicated: 0,
    reordered: 0,
    text_mismatches: 0,
    mark_mismatches: 0,
    unrepaired_gaps: 0,
  };
  /** The first of them. */
  readonly described: string[] = [];

  add(kind: FaultKind, what: string): void {
    this.counts[kind]++;
    if (this.described.length < describedMax) this.described.push(`${kind}: ${what}`);
  }
}

/** Compares a channel's whole history with what was to be said there. */
export function checkHistory(
  { title, dialogues }: PlannedChannel,
  history: readonly Shown[],
  faults: Faults,
): void {
  const places = new Map<string, number>();
  const sent = new Set(dialogues.flatMap(({ turns }) => turns.map((turn) => turn.clientMessageId)));
  for (const [place, { messageId, text, clientMessageId }] of history.entries()) {
    if (place > 0 && messageId <= history[place - 1]!.messageId) {
      faults.add("reordered", `${title}: ${messageId} is not greater than the id before it`);
    }
    if (text === undefined && !sent.has(clientMessageId)) continue;
    if (!places.has(clientMessageId)) places.set(clientMessageId, place);
    else faults.add("duplicated", `${title}: ${clientMessageId} is in the history again`);
  }
  for (const { line, turns } of dialogues) {
    let placeBefore = -1;
    for (const [at, turn] of turns.entries()) {
      const { clientMessageId = "", acknowledgedId } = turn;
      const what = `${title}: turn ${at + 1} of line ${line}`;
      const place = places.get(clientMessageId);
      places.delete(clientMessageId);
      const found = place === undefined ? undefined : history[place]!;
      if (!found || (acknowledgedId !== undefined && acknowledgedId !== found.messageId)) {
        const known = acknowledgedId === undefined ? "not acknowledged" : `as ${acknowledgedId}`;
        faults.add("lost", `${what} is not in the history (${known})`);
        continue;
      }
      const expected = expectedOf(turn, turns);
      if (found.text !== expected.text) faults.add("text_mismatches", `${what} in the history`);
      if (found.marks !== expected.marks) {
        faults.add("mark_mismatches", `${what}: ${found.marks} instead of ${expected.marks}`);
      }
      if (place! < placeBefore) faults.add("reordered", `${what} is before what it answers`);
      placeBefore = place!;
    }
  }
  for (const clientMessageId of places.keys()) {
    faults.add("duplicated", `${title}: ${clientMessageId} is in the history and was never sent`);
  }
  checkChain(`${title}: the history`, history, faults);
}

/** Compares what a device of a member was told of a channel with the channel's whole history. */
export function checkDevice(
  title: string,
  told: readonly Shown[],
  history: readonly Shown[],
  faults: Faults,
): void {
  const places = new Map(history.map(({ messageId }, place) => [messageId, place]));
  const seen = new Set<bigint>();
  let placeBefore = -1;
  for (const { messageId, text, marks } of told) {
    const what = `${title}: ${messageId}`;
    const place = places.get(messageId);
    if (seen.has(messageId)) faults.add("duplicated", `${what} was told again`);
    else if (place === undefined) faults.add("lost", `${what} was told and is not in the history`);
    else {
      const { text: isText, marks: areMarks } = history[place]!;
      if (isText !== text) faults.add("text_mismatches", `${what} as it was told`);
      if (areMarks !== marks) {
        faults.add("mark_mismatches", `${what}: told ${marks} instead of ${areMarks}`);
      }
      if (place < placeBefore) faults.add("reordered", `${what} was told too late`);
      placeBefore = place;
    }
    seen.add(messageId);
  }
  for (const { messageId } of history) {
    if (!seen.has(messageId)) faults.add("lost", `${title}: ${messageId} was not told`);
  }
  checkChain(title, told, faults);
}

/**
 * Compares what a device was told during some stays in a channel with what its user may read of the
 * channel afterwards. A text that was changed after the stays is not shown any more.
 */
export function checkStays(
  title: string,
  told: readonly Shown[],
  history: readonly Shown[],
  faults: Faults,
): void {
  const known = new Map(history.map((message) => [message.messageId, message]));
  const ids = told.map(({ messageId }) => messageId);
  for (const [at, { messageId, text }] of told.entries()) {
    const what = `${title}: ${messageId}`;
    const found = known.get(messageId);
    known.delete(messageId);
    if (!found) {
      const kind = ids.indexOf(messageId) < at ? "duplicated" : "lost";
      faults.add(kind, `${what} was told, and is not the guest's to read, or was told again`);
    } else if (found.text !== undefined && found.text !== text) {
      faults.add("text_mismatches", `${what} as it was told`);
    }
    if (at > 0 && messageId <= ids[at - 1]!) faults.add("reordered", `${what} was told too late`);
  }
  for (const messageId of known.keys()) faults.add("lost", `${title}: ${messageId} was not told`);
}

/** What a turn is to look like after all that was done to it. */
function expectedOf(turn: Turn, turns: readonly Turn[]): Pick<Shown, "text" | "marks"> {
  const { isDeleted = false, reactions = [], doings } = turn;
  const { replyTo } = doings;
  const repliesTo = replyTo === undefined ? 0n : (turns[replyTo]!.acknowledgedId ?? 0n);
  return {
    text: isDeleted ? undefined : (turn.editedText ?? turn.text),
    marks: marksOf(isDeleted, repliesTo, reactions),
  };
}

/** Each message names the one before it; repetitions are counted elsewhere. */
function checkChain(title: string, shown: readonly Shown[], faults: Faults): void {
  let lastId = 0n;
  for (const { messageId, prevMessageId } of shown) {
    if (messageId <= lastId) continue;
    if (prevMessageId !== lastId) {
      faults.add(
        "unrepaired_gaps",
        `${title}: ${messageId} follows ${lastId}, not ${prevMessageId}`,
      );
    }
    lastId = messageId;
  }
}
