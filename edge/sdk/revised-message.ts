import { clone, create } from "@bufbuild/protobuf";
import {
  type Message,
  MessageSchema,
  ReactionSchema,
  type Revision,
} from "../../gen/parley/message/v1/message_pb.js";

/** Users whom a message names of a reaction: see Reaction.user_ids. */
const namedUsersMax = 5;

/**
 * The message after a revision of it, as the history will show it to the user; undefined where that
 * can't be told from the two. The message as it is where it has the revision already.
 */
export function revisedMessage(
  message: Message,
  revision: Revision,
  userId: string,
): Message | undefined {
  const { change, channelSequence, reviseTime } = revision;
  if (channelSequence <= message.revisionSequence) return message;
  const revised = clone(MessageSchema, message);
  revised.revisionSequence = channelSequence;
  if (change.case === "edit") {
    revised.body = { case: "text", value: change.value.text };
    revised.bodyOmitted = false;
    revised.mentionedUserIds = [...change.value.mentionedUserIds];
    revised.editSequence = channelSequence;
    if (reviseTime) revised.editTime = reviseTime;
    return revised;
  }
  if (change.case === "deletion") {
    revised.body = { case: undefined };
    revised.bodyOmitted = false;
    revised.mentionedUserIds = [];
    revised.reactions = [];
    revised.editSequence = 0;
    delete revised.editTime;
    if (reviseTime) revised.deleteTime = reviseTime;
    return revised;
  }
  if (change.case === undefined) return undefined;
  const { emoji } = change.value;
  const byUser = revision.senderId;
  const reaction = revised.reactions.find((each) => each.emoji === emoji);
  if (change.case === "reactionAdded") {
    const mine = byUser === userId;
    if (!reaction) {
      const userIds = [byUser];
      const added = create(ReactionSchema, { emoji, count: 1, userIds, givenByCaller: mine });
      revised.reactions.push(added);
      revised.reactions.sort((a, b) => (a.emoji < b.emoji ? -1 : 1));
    } else {
      reaction.count++;
      reaction.givenByCaller ||= mine;
      if (reaction.userIds.length < namedUsersMax) reaction.userIds.push(byUser);
    }
    return revised;
  }
  if (!reaction) return undefined;
  reaction.count--;
  if (byUser === userId) reaction.givenByCaller = false;
  if (reaction.count === 0) revised.reactions.splice(revised.reactions.indexOf(reaction), 1);
  const named = reaction.userIds.indexOf(byUser);
  if (named < 0) return revised;
  reaction.userIds.splice(named, 1);
  // Another user is among the first ones now.
  return reaction.count > reaction.userIds.length ? undefined : revised;
}
