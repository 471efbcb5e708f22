import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  MessageSchema,
  type Revision,
  RevisionSchema,
} from "../../gen/parley/message/v1/message_pb.js";
import { revisedMessage } from "./revised-message.ts";

const message = create(MessageSchema, {
  ...{ channelId: "g-1", messageId: 5n, channelSequence: 3, senderId: "ann" },
  body: { case: "text", value: "first" },
});

let sequence = 10;
const by = (senderId: string, kind: "reactionAdded" | "reactionRemoved", emoji: string): Revision =>
  create(RevisionSchema, {
    ...{ messageId: 5n, channelSequence: sequence++, senderId },
    change: { case: kind, value: { emoji } },
  });

/** The message after reactions, as "me" sees it; undefined: it has to be read. */
function after(...revisions: Revision[]) {
  return revisions.reduce<typeof message | undefined>(
    (each, revision) => each && revisedMessage(each, revision, "me"),
    message,
  );
}

describe("a message that is revised", () => {
  it("[M9] has the new text, or is a tombstone, and keeps its place", () => {
    const edit = create(RevisionSchema, {
      ...{ messageId: 5n, channelSequence: 4 },
      change: { case: "edit", value: { text: "second", mentionedUserIds: ["ben"] } },
    });
    const edited = revisedMessage(message, edit, "me")!;
    expect(edited).toMatchObject({
      ...{ body: { value: "second" }, mentionedUserIds: ["ben"], editSequence: 4 },
      ...{ revisionSequence: 4, channelSequence: 3 },
    });
    expect(revisedMessage(edited, edit, "me")).toBe(edited);
    const deletion = create(RevisionSchema, {
      ...{ messageId: 5n, channelSequence: 5, reviseTime: { seconds: 7n } },
      change: { case: "deletion", value: {} },
    });
    const deleted = revisedMessage(edited, deletion, "me");
    expect(deleted).toMatchObject({ body: { case: undefined }, senderId: "ann", editSequence: 0 });
    expect(deleted?.deleteTime).toBeDefined();
  });

  it("[M9] counts reactions, ordered by emoji, with the first users", () => {
    const added = after(
      by("ben", "reactionAdded", "b"),
      by("me", "reactionAdded", "a"),
      by("cem", "reactionAdded", "b"),
      by("me", "reactionRemoved", "a"),
      by("me", "reactionAdded", "b"),
    );
    expect(added?.reactions).toMatchObject([
      { emoji: "b", count: 3, userIds: ["ben", "cem", "me"], givenByCaller: true },
    ]);
  });

  it("[M9] is read anew where it can't be told who is among the first users now", () => {
    const six = ["u1", "u2", "u3", "u4", "u5", "u6"].map((user) => by(user, "reactionAdded", "a"));
    expect(after(...six)?.reactions[0]?.userIds).toHaveLength(5);
    expect(after(...six, by("u6", "reactionRemoved", "a"))?.reactions[0]?.count).toBe(5);
    expect(after(...six, by("u1", "reactionRemoved", "a"))).toBeUndefined();
    expect(
      revisedMessage(message, create(RevisionSchema, { channelSequence: 9 }), "me"),
    ).toBeUndefined();
  });
});
