/** The log of a channel, explained by what was asked: once each, in time, and by the rules. */
import { expect } from "vitest";
import { MembershipChange_Kind as ChangeKind, type Message } from "../../edge/sdk/index.ts";
import { ChannelModel, type Intent } from "./channel-model.ts";
import type { Attempt, RunChannel } from "./run.ts";

/**
 * Takes the log through the model.
 * @returns the model after it
 * @throws where an item was not asked for, was not allowed or came twice; where an answer is not
 * true; where something was answered before what precedes it in the log was asked for
 */
export function replay(
  { channelId, settings }: RunChannel,
  log: readonly Message[],
  allAttempts: readonly Attempt[],
): ChannelModel {
  const model = new ChannelModel(settings);
  const attempts = allAttempts.filter((attempt) => attempt.channelId === channelId);
  const byId = new Map(attempts.map((attempt) => [attempt.clientMessageId, attempt]));
  /** Who asked for each item. */
  const asked = log.map(({ clientMessageId }) => byId.get(clientMessageId));
  const withoutItem = attempts.filter((attempt) => !asked.includes(attempt));
  const unexplained = new Set(withoutItem.filter(({ answer }) => answer !== "open"));
  let lastBegun = -1;
  for (let at = 0; at <= log.length; at++) {
    for (const attempt of unexplained) {
      const verdict = model.verdict(attempt.userId, attempt.intent);
      const isTrue = verdict === (attempt.answer === "refused" ? "refused" : "nothing");
      if (isTrue && mayHaveHappened(attempt, at, asked)) unexplained.delete(attempt);
    }
    const item = log[at];
    if (!item) break;
    const attempt = asked[at];
    if (attempt) {
      expectItem(item, attempt, model);
      expect(lastBegun, `${place(item)} was late`).toBeLessThanOrEqual(attempt.ended ?? Infinity);
      lastBegun = Math.max(lastBegun, attempt.begun);
    } else {
      expect([at, kindOf(item)], `${place(item)} was never asked for`).toEqual([0, "CREATED"]);
    }
    model.apply(item);
  }
  expect([...unexplained], `answers of ${channelId} that are not true`).toEqual([]);
  expect(new Set(asked).size, `items of ${channelId} that are there twice`).toBe(log.length);
  return model;
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

function expectItem(item: Message, attempt: Attempt, model: ChannelModel): void {
  const { userId, intent, answer, channelSequence } = attempt;
  expect(model.verdict(userId, intent), `${place(item)} by the rules`).toBe("item");
  expect(answer, `the answer to ${place(item)}`).not.toBe("refused");
  const { body, senderId } = item;
  expect(senderId).toBe(userId);
  if (intent.kind === "send") {
    expect(body).toEqual({ case: "text", value: intent.text });
    if (answer === "accepted") expect(item.channelSequence).toBe(channelSequence);
    return;
  }
  expect(kindOf(item)).toBe(kinds[intent.kind]);
  if (body.case !== "membershipChange") return;
  expect(body.value.userIds).toEqual(["userId" in intent ? intent.userId : userId]);
}

/** What item an intent becomes. */
const kinds: Readonly<Record<Intent["kind"], string>> = {
  send: "text",
  read: "none",
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

function kindOf({ body }: Message): string {
  if (body.case === "channelChange") return body.value.change.case!;
  return body.case === "membershipChange" ? ChangeKind[body.value.kind]! : body.case!;
}

function place({ channelId, channelSequence }: Message): string {
  return `${channelId} #${channelSequence}`;
}
