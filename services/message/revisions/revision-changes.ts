/** The changes of existing messages that requests ask for: who may, and what each appends. */
import { create } from "@bufbuild/protobuf";
import {
  type Revision,
  Revision_DeletionSchema,
  Revision_EditSchema,
  Revision_ReactionChangeSchema,
} from "../../../gen/parley/message/v1/message_pb.js";
import type { Decide } from "../channel/changes.ts";
import type { Basis, NewRevision } from "../channel/channel-change.ts";
import type { ChannelState } from "../channel/channel-state.ts";
import { mentionedMembers } from "../channel/mentions.ts";
import { authorise, type Operation } from "../channel/permissions.ts";
import { reactionKey, requireTarget, type Target } from "../channel/revision-targets.ts";
import { refuse } from "../message-codes.ts";

/** Reactions of a message, those that were taken back included: readers read them with it. */
export const reactionsMax = 1_000;

/** The sender gives a text another wording. */
export function editMessage(
  channelId: string,
  actorId: string,
  messageId: bigint,
  text: string,
): Decide {
  return (current, basis) => {
    const operations = ["EDIT_OWN", "EDIT_ANOTHERS"] as const;
    const { state, target } = textOf(current, basis, channelId, actorId, messageId, operations);
    requireNotDeleted(target);
    const mentionedUserIds = mentionedMembers(text, basis.userIdsByName, state);
    const value = create(Revision_EditSchema, { text, mentionedUserIds });
    return revise(target, { case: "edit", value });
  };
}

/** The sender deletes a text, or the owner or an admin of a group does. */
export function deleteMessage(channelId: string, actorId: string, messageId: bigint): Decide {
  return (current, basis) => {
    const operations = ["DELETE_OWN", "DELETE_ANOTHERS"] as const;
    const { target } = textOf(current, basis, channelId, actorId, messageId, operations);
    if (target.isDeleted) return undefined;
    return revise(target, { case: "deletion", value: create(Revision_DeletionSchema) });
  };
}

/** A member reacts to a text. */
export function addReaction(
  channelId: string,
  actorId: string,
  messageId: bigint,
  emoji: string,
): Decide {
  return (current, basis) => {
    const { target } = textOf(current, basis, channelId, actorId, messageId, ["REACT", "REACT"]);
    requireNotDeleted(target);
    const { reactions } = target;
    const key = reactionKey(actorId, emoji);
    if (reactions.get(key)) return undefined;
    if (!reactions.has(key) && reactions.size >= reactionsMax) {
      const text = `message ${messageId} has had ${reactions.size} reactions, the limit`;
      throw refuse("REACTIONS_FULL", text);
    }
    const value = create(Revision_ReactionChangeSchema, { emoji });
    return revise(target, { case: "reactionAdded", value });
  };
}

/** A member takes a reaction back. */
export function removeReaction(
  channelId: string,
  actorId: string,
  messageId: bigint,
  emoji: string,
): Decide {
  return (current, basis) => {
    const { target } = textOf(current, basis, channelId, actorId, messageId, ["REACT", "REACT"]);
    requireNotDeleted(target);
    if (!target.reactions.get(reactionKey(actorId, emoji))) return undefined;
    const value = create(Revision_ReactionChangeSchema, { emoji });
    return revise(target, { case: "reactionRemoved", value });
  };
}

/**
 * The text to change, if the actor may: what it takes where it is the actor's own, and where not.
 * Membership is checked before existence.
 */
function textOf(
  current: ChannelState | undefined,
  basis: Basis,
  channelId: string,
  actorId: string,
  messageId: bigint,
  [own, anothers]: readonly [Operation, Operation],
) {
  const state = authorise("READ_CHANNEL", current, channelId, actorId, basis);
  const target = requireTarget(basis.target, state, actorId, messageId);
  if (!target.isText) throw refuse("NOT_A_TEXT", `message ${messageId} is not a text`);
  const operation = target.senderId === actorId ? own : anothers;
  authorise(operation, state, channelId, actorId, basis);
  return { state, target };
}

function requireNotDeleted({ messageId, isDeleted }: Target): void {
  if (isDeleted) throw refuse("MESSAGE_DELETED", `message ${messageId} was deleted`);
}

function revise({ messageId, channelSequence }: Target, change: Revision["change"]): NewRevision {
  return { messageId, messageChannelSequence: channelSequence, change };
}
