/**
 * A message and what its revisions make of it. The parts of a message change independently: its
 * body (edits, then perhaps a deletion) and each reaction of a user; of every part the revision
 * with the greatest sequence counts, in whatever order they are applied and however often.
 */
import { clone, create } from "@bufbuild/protobuf";
import {
  type Message,
  MessageSchema,
  type Reaction,
  ReactionSchema,
  type Revision,
} from "../../../gen/parley/message/v1/message_pb.js";
import type { ReactionRow, StoredMessage } from "./message-store.ts";

/** Users of a reaction that a message names. */
const namedUsersMax = 5;

/** The part of a message that edits and a deletion replace. */
export type MessageBody = Pick<
  Message,
  "body" | "mentionedUserIds" | "editTime" | "editSequence" | "deleteTime" | "revisionSequence"
>;

/** The body of a message that was left without one. */
export const noBody: MessageBody = {
  ...{ body: { case: undefined }, mentionedUserIds: [], editSequence: 0, revisionSequence: 0 },
};

/** The body that a revision gives its message; undefined: it leaves it alone. */
export function revisedBody({
  change,
  channelSequence: revisionSequence,
  reviseTime,
}: Revision): MessageBody | undefined {
  if (change.case === "deletion") {
    return { ...noBody, ...(reviseTime && { deleteTime: reviseTime }), revisionSequence };
  }
  if (change.case !== "edit") return undefined;
  return {
    body: { case: "text", value: change.value.text },
    mentionedUserIds: change.value.mentionedUserIds,
    ...(reviseTime && { editTime: reviseTime }),
    editSequence: revisionSequence,
    revisionSequence,
  };
}

/** The reaction that a revision gives or takes back; undefined: it is about none. */
export function revisedReaction({
  change,
  channelSequence: sequence,
  senderId: userId,
}: Revision): ReactionRow | undefined {
  if (change.case !== "reactionAdded" && change.case !== "reactionRemoved") return undefined;
  return { userId, emoji: change.value.emoji, sequence, given: change.case === "reactionAdded" };
}

/** The body of a message. */
export function bodyOf(message: Message): MessageBody {
  const { body, mentionedUserIds, editTime, editSequence, deleteTime, revisionSequence } = message;
  return {
    ...{ body, mentionedUserIds, editSequence, revisionSequence },
    ...(editTime && { editTime }),
    ...(deleteTime && { deleteTime }),
  };
}

/** The message with another body. */
export function withBody(message: Message, body: MessageBody): Message {
  const { editTime: _edited, deleteTime: _deleted, ...rest } = message;
  return { ...rest, ...body };
}

/** The newest sequence that a message's identity and body come from. */
export function bodySequence({ channelSequence, revisionSequence }: Message): number {
  return Math.max(channelSequence, revisionSequence);
}

/** The newest row of each key. */
export function newestReactions(rows: readonly ReactionRow[]): ReactionRow[] {
  const newest = new Map<string, ReactionRow>();
  for (const row of rows) {
    const key = `${row.userId} ${row.emoji}`;
    if ((newest.get(key)?.sequence ?? 0) < row.sequence) newest.set(key, row);
  }
  return [...newest.values()];
}

/** The message after further revisions of it. */
export function revised(stored: StoredMessage, revisions: readonly Revision[]): StoredMessage {
  let { message } = stored;
  const reactions = [...stored.reactions];
  for (const revision of revisions) {
    const body = revisedBody(revision);
    if (body && bodySequence(message) < body.revisionSequence) message = withBody(message, body);
    const reaction = revisedReaction(revision);
    if (reaction) reactions.push(reaction);
  }
  return { message, reactions: newestReactions(reactions) };
}

/**
 * The message as a reader sees it, who may see the items for which `maySee` is true. That it was
 * deleted everybody sees who sees the message.
 */
export function shownTo(
  userId: string,
  { message, reactions }: StoredMessage,
  maySee: (channelSequence: number) => boolean,
): Message {
  const seen = reactions.filter(({ sequence }) => maySee(sequence));
  const revisionSequence = Math.max(
    message.revisionSequence,
    ...seen.map(({ sequence }) => sequence),
  );
  if (revisionSequence === 0) return message;
  const shown = clone(MessageSchema, message);
  shown.revisionSequence = revisionSequence;
  if (message.deleteTime) return shown;
  if (!maySee(message.editSequence || message.channelSequence)) {
    shown.body = { case: undefined };
    shown.mentionedUserIds = [];
    shown.bodyOmitted = true;
  }
  shown.reactions = counted(givenReactions(seen), userId);
  return shown;
}

/** The reactions that stand, in the order in which they were given. */
export function givenReactions(rows: readonly ReactionRow[]): ReactionRow[] {
  return rows.filter(({ given }) => given).sort((a, b) => a.sequence - b.sequence);
}

function counted(given: readonly ReactionRow[], callerId: string): Reaction[] {
  const byEmoji = new Map<string, Reaction>();
  for (const { emoji, userId } of given) {
    const reaction = byEmoji.get(emoji) ?? create(ReactionSchema, { emoji });
    byEmoji.set(emoji, reaction);
    reaction.count++;
    if (reaction.userIds.length < namedUsersMax) reaction.userIds.push(userId);
    reaction.givenByCaller ||= userId === callerId;
  }
  return [...byEmoji.values()].sort((a, b) => (a.emoji < b.emoji ? -1 : 1));
}
