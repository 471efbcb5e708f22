/** The reference of one message: what its revisions make of it, and for whom. */
import type { Message, Reaction } from "../../edge/sdk/index.ts";

/** What a user wants of a text. */
export type Change =
  | { kind: "edit"; messageId: bigint; text: string }
  | { kind: "delete"; messageId: bigint }
  | { kind: "react" | "unreact"; messageId: bigint; emoji: string };

/** A message as somebody sees it: what the model has an opinion on. */
export interface Seen {
  messageId: bigint;
  /** Empty: none, or none for this user. */
  text: string;
  bodyOmitted: boolean;
  isDeleted: boolean;
  editSequence: number;
  revisionSequence: number;
  reactions: Pick<Reaction, "emoji" | "count" | "userIds" | "givenByCaller">[];
}

/** One message of a channel. */
export class MessageModel {
  readonly message: Message;
  private text: string;
  private isDeleted = false;
  private editSequence = 0;
  private bodySequence = 0;
  /** By user and emoji, the last change. */
  private readonly reactions = new Map<string, ReactionModel>();

  /** @param text what was sent; undefined: it is no text */
  constructor(message: Message, text: string | undefined) {
    this.message = message;
    this.text = text ?? "";
  }

  /**
   * What a change by a member who sees the message comes to now.
   * @param mayDelete whether the member may delete the texts of others
   */
  verdict(userId: string, change: Change, mayDelete: boolean): "item" | "nothing" | "refused" {
    if (!this.isText) return "refused";
    const isTheirs = this.message.senderId === userId;
    if (change.kind === "edit") return isTheirs && !this.isDeleted ? "item" : "refused";
    if (change.kind === "delete") {
      if (!isTheirs && !mayDelete) return "refused";
      return this.isDeleted ? "nothing" : "item";
    }
    if (this.isDeleted) return "refused";
    const isGiven = this.reactions.get(`${userId} ${change.emoji}`)?.isGiven ?? false;
    return isGiven === (change.kind === "react") ? "nothing" : "item";
  }

  /** Takes a change that has become an item. */
  apply(userId: string, change: Change, sequence: number): void {
    if (change.kind === "react" || change.kind === "unreact") {
      const { emoji } = change;
      const isGiven = change.kind === "react";
      this.reactions.set(`${userId} ${emoji}`, { userId, emoji, isGiven, sequence });
      return;
    }
    this.bodySequence = sequence;
    this.text = change.kind === "edit" ? change.text : "";
    this.editSequence = change.kind === "edit" ? sequence : 0;
    this.isDeleted = change.kind === "delete";
  }

  /** What a user sees, who may see the items for which `maySee` is true. */
  shownTo(userId: string, maySee: (sequence: number) => boolean): Seen {
    const { isDeleted, editSequence, text, message } = this;
    const seen = [...this.reactions.values()].filter(({ sequence }) => maySee(sequence));
    const bodyOmitted = !isDeleted && editSequence > 0 && !maySee(editSequence);
    return {
      messageId: message.messageId,
      text: bodyOmitted ? "" : text,
      bodyOmitted,
      isDeleted,
      editSequence,
      revisionSequence: Math.max(this.bodySequence, ...seen.map(({ sequence }) => sequence)),
      reactions: isDeleted ? [] : counted(seen, userId),
    };
  }

  private get isText(): boolean {
    const { body, deleteTime } = this.message;
    return body.case === "text" || deleteTime !== undefined;
  }
}

interface ReactionModel {
  userId: string;
  emoji: string;
  isGiven: boolean;
  sequence: number;
}

/** Users whom a message names of a reaction. */
const namedUsersMax = 5;

function counted(changes: readonly ReactionModel[], callerId: string): Seen["reactions"] {
  const given = changes.filter(({ isGiven }) => isGiven);
  given.sort((a, b) => a.sequence - b.sequence);
  const byEmoji = [...Map.groupBy(given, ({ emoji }) => emoji)].sort(([a], [b]) =>
    a < b ? -1 : 1,
  );
  return byEmoji.map(([emoji, all]) => ({
    emoji,
    count: all.length,
    userIds: all.slice(0, namedUsersMax).map(({ userId }) => userId),
    givenByCaller: all.some(({ userId }) => userId === callerId),
  }));
}

/** The same of a message that was read or told. */
export function seen(message: Message): Seen {
  const { messageId, body, bodyOmitted, deleteTime, editSequence, revisionSequence } = message;
  const reactions = message.reactions
    .map(({ emoji, count, userIds, givenByCaller }) => ({ emoji, count, userIds, givenByCaller }))
    .sort((a, b) => (a.emoji < b.emoji ? -1 : 1));
  return {
    ...{ messageId, bodyOmitted, editSequence, revisionSequence, reactions },
    text: body.case === "text" ? body.value : "",
    isDeleted: deleteTime !== undefined,
  };
}
