/** The log of a channel, explained by what was asked: once each, in time, and by the rules. */
import { expect } from "vitest";
import { MembershipChange_Kind as ChangeKind, type Message } from "../../edge/sdk/index.ts";
import { ChannelModel, type Intent } from "./channel-model.ts";
import type { Attempt, RunChannel } from "./run.ts";

/** An item of the log: a message as the history has it, or a revision as it was answered. */
interface Item {
  channelSequence: number;
  message: Message | undefined;
  /** Who asked for it; undefined: the creation. */
  attempt: Attempt | undefined;
}

/**
 * Takes the log through the model.
 * @returns the model after it
 * @throws where an item was not asked for, was not allowed or came twice; where an answer is not
 * true; where something was answered before what precedes it in the log was asked for
 */
export function replay(
  { channelId, settings }: RunChannel,
  history: readonly Message[],
  allAttempts: readonly Attempt[],
): ChannelModel {
  const model = new ChannelModel(settings);
  const attempts = allAttempts.filter((attempt) => attempt.channelId === channelId);
  const items = itemsOf(history, attempts);
  const asked = items.map(({ attempt }) => attempt);
  const withoutItem = attempts.filter((attempt) => !asked.includes(attempt));
  const unexplained = new Set(withoutItem.filter(({ answer }) => answer !== "open"));
  let lastBegun = -1;
  for (let at = 0; at <= items.length; at++) {
    for (const attempt of unexplained) {
      const verdict = model.verdict(attempt.userId, attempt.intent);
      const isTrue = verdict === (attempt.answer === "refused" ? "refused" : "nothing");
      if (isTrue && mayHaveHappened(attempt, at, asked)) unexplained.delete(attempt);
    }
    const item = items[at];
    if (!item) break;
    const { attempt, message } = item;
    const place = `${channelId} #${item.channelSequence}`;
    if (attempt) {
      const verdict = model.verdict(attempt.userId, attempt.intent);
      expect(verdict, `${place} by the rules`).toBe("item");
      expect(lastBegun, `${place} was late`).toBeLessThanOrEqual(attempt.ended ?? Infinity);
      lastBegun = Math.max(lastBegun, attempt.begun);
    }
    if (message) {
      const unasked = at === 0 ? "CREATED" : model.turnsLive && "mode";
      const kind = attempt ? kinds[attempt.intent.kind] : unasked;
      expect(kindOf(message), `the kind of ${place}`).toBe(kind);
      if (attempt) expectMessage(message, attempt, place);
      model.apply(message, attempt?.intent.kind === "send" ? attempt.intent.text : undefined);
    } else if (attempt && isChange(attempt.intent)) {
      model.revise(attempt.userId, attempt.intent, item.channelSequence);
    }
  }
  expect([...unexplained], `answers of ${channelId} that are not true`).toEqual([]);
  const byRequest = asked.filter((attempt) => attempt !== undefined);
  expect(new Set(byRequest).size, `items of ${channelId}, each once`).toBe(byRequest.length);
  return model;
}

function itemsOf(history: readonly Message[], attempts: readonly Attempt[]): Item[] {
  const byId = new Map(attempts.map((attempt) => [attempt.clientMessageId, attempt]));
  const messages = history.map((message): Item => {
    const { channelSequence, clientMessageId } = message;
    return { channelSequence, message, attempt: byId.get(clientMessageId) };
  });
  const changes = attempts.filter(({ intent, answer, channelSequence }) => {
    return isChange(intent) && answer === "accepted" && channelSequence > 0;
  });
  const revisions = changes.map((attempt): Item => {
    return { channelSequence: attempt.channelSequence, message: undefined, attempt };
  });
  return [...messages, ...revisions].sort((a, b) => a.channelSequence - b.channelSequence);
}

/** Whether an attempt can have been decided when the log had so many items. */
function mayHaveHappened(
  { begun, ended = Infinity }: Attempt,
  at: number,
  asked: readonly (Attempt | undefined)[],
): boolean {
  const isComeLater = asked.slice(at).some((other) => (other?.ended ?? Infinity) < begun);
  const isGoneBefore = asked.slice(0, at).some((other) => (other?.begun ?? -1) > ended);
  return !isComeLater && !isGoneBefore;
}

function expectMessage(message: Message, attempt: Attempt, place: string): void {
  const { userId, intent, answer, channelSequence } = attempt;
  expect(answer, `the answer to ${place}`).not.toBe("refused");
  const { body, senderId } = message;
  expect(senderId).toBe(userId);
  if (answer === "accepted" && channelSequence > 0) {
    expect(message.channelSequence).toBe(channelSequence);
  }
  if (body.case !== "membershipChange") return;
  expect(body.value.userIds).toEqual(["userId" in intent ? intent.userId : userId]);
}

function isChange(intent: Intent) {
  return "messageId" in intent && intent.kind !== "read";
}

/** What item an intent becomes. */
const kinds: Readonly<Record<Intent["kind"], string>> = {
  send: "text",
  read: "none",
  edit: "revision",
  delete: "revision",
  react: "revision",
  unreact: "revision",
  add: "ADDED",
  remove: "REMOVED",
  ban: "BANNED",
  unban: "UNBANNED",
  promote: "ROLE_CHANGED",
  demote: "ROLE_CHANGED",
  join: "JOINED",
  leave: "LEFT",
  rename: "name",
  settings: "settings",
};

function kindOf({ body, deleteTime }: Message): string {
  // Only texts can be deleted.
  if (deleteTime) return "text";
  if (body.case === "channelChange") return body.value.change.case!;
  return body.case === "membershipChange" ? ChangeKind[body.value.kind]! : body.case!;
}
