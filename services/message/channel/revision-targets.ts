/** The messages that changes answer or revise, as far as decisions depend on them. */
import type { Revision } from "../../../gen/parley/message/v1/message_pb.js";
import { type DomainError, unavailable } from "../../../mesh/errors.ts";
import { RecentMap } from "../../../mesh/recent-map.ts";
import { type MessageReason, refuse } from "../message-codes.ts";
import { revisedReaction } from "../store/message-revisions.ts";
import type { ChannelState } from "./channel-state.ts";

/** A message that may be answered or revised. */
export interface Target {
  messageId: bigint;
  channelSequence: number;
  senderId: string;
  /** Also where it was deleted. */
  isText: boolean;
  isDeleted: boolean;
  /** Whether a reaction stands, by {@link reactionKey}: those that were taken back are here too. */
  reactions: Map<string, boolean>;
}

/** A target; or that there is none, or that the history can't be read to find it. */
export type Found = Target | "missing" | "unreadable";

/** Targets that are kept at hand for a channel. */
const targetsMax = 32;

/** What a reaction is in {@link Target.reactions}. */
export function reactionKey(userId: string, emoji: string): string {
  return `${userId} ${emoji}`;
}

/** The targets of one channel that were asked for lately. They move on with the channel. */
export class RevisionTargets {
  private readonly targets = new RecentMap<bigint, Target>(targetsMax);

  get(messageId: bigint): Target | undefined {
    return this.targets.get(messageId);
  }

  set(target: Target): void {
    this.targets.set(target.messageId, target);
  }

  /**
   * Takes an item of the channel's; one that is known already changes nothing in the end. The
   * target is given where others are decided on it still: it need not be at hand any more.
   */
  apply(revision: Revision, target = this.targets.get(revision.messageId)): void {
    if (!target) return;
    const reaction = revisedReaction(revision);
    if (reaction) {
      target.reactions.set(reactionKey(reaction.userId, reaction.emoji), reaction.given);
    }
    if (revision.change.case === "deletion") target.isDeleted = true;
  }
}

/**
 * The target, if the user may see it: it came during the user's present stay, or members see
 * what was before, or it is the user's own.
 * @throws DomainError MESSAGE_NOT_FOUND, UNAVAILABLE
 */
export function requireTarget(
  found: Found,
  { channel, members }: ChannelState,
  userId: string,
  messageId: bigint,
): Target {
  if (found === "unreadable") throw unavailable(`message ${messageId} can't be read now`);
  if (found === "missing") throw notFound(messageId);
  const joined = members.get(userId)?.joinedSequence ?? Number.POSITIVE_INFINITY;
  const isSeen =
    channel.historyBeforeJoining || found.channelSequence >= joined || found.senderId === userId;
  if (!isSeen) throw notFound(messageId);
  return found;
}

/** Refuses what is about a message that does not exist, as far as the caller may know. */
export function notFound(messageId: bigint): DomainError<MessageReason> {
  return refuse("MESSAGE_NOT_FOUND", `there is no message ${messageId} in this channel`);
}
