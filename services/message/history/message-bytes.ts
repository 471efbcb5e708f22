import type { Message } from "../../../gen/parley/message/v1/message_pb.js";

/** What a message takes besides its text and reactions. */
const messageBytes = 300;
/** What a reaction takes besides its emoji: a count, and the ids of some users. */
const reactionBytes = 160;
/** The most that a UTF-16 unit of a text takes in UTF-8. */
const unitBytesMax = 3;

/**
 * At most what a message takes in an answer, for those that end before they are too large to be
 * sent: 1,000 reactions with an emoji each can take as much as the longest text.
 */
export function bytesOf({ body, reactions }: Message): number {
  const units = body.case === "text" ? body.value.length : 0;
  return reactions.reduce(
    (sum, { emoji }) => sum + reactionBytes + emoji.length * unitBytesMax,
    messageBytes + units * unitBytesMax,
  );
}
