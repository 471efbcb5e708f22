import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { MembershipChange_Kind as ChangeKind, MessageSchema, Status } from "../sdk/index.ts";
import { messageLines, presenceText } from "./chat-words.ts";

const names: Record<string, string> = { me: "you", bob: "bob", cy: "cy" };
const plain = {
  nameOf: (userId: string) => names[userId]!,
  paint: (_style: string, text: string) => text,
  columns: 40,
  myId: "me",
};
const sendTime = timestampFromDate(new Date(2026, 10, 22, 9, 5));

function message(senderId: string, body: MessageInitShape<typeof MessageSchema>["body"]) {
  return create(MessageSchema, { senderId, sendTime, ...(body && { body }) });
}

describe("the words of parley chat", () => {
  it("shows time, name and text, broken under the text", () => {
    const text = "one two three four five six seven eight nine";
    expect(messageLines(message("bob", { case: "text", value: text }), plain)).toBe(
      "09:05 bob: one two three four five six\n           seven eight nine",
    );
  });

  it("marks one's own texts as accepted", () => {
    const mine = message("me", { case: "text", value: "hello" });
    expect(messageLines(mine, plain)).toBe("09:05 you: hello ✓");
  });

  it("lets no escape sequence of other people's through", () => {
    const evil = message("bob", { case: "text", value: "\u001b]0;title\u0007" });
    expect(messageLines(evil, plain)).not.toContain("\u001b");
  });

  it("leaves dollar signs alone", () => {
    const dear = message("bob", { case: "text", value: "costs $& and $1" });
    expect(messageLines(dear, plain)).toBe("09:05 bob: costs $& and $1");
  });

  it("tells who came and went", () => {
    const change = (kind: ChangeKind, userIds: string[], newOwnerId = "") =>
      messageLines(
        message("bob", { case: "membershipChange", value: { kind, userIds, newOwnerId } }),
        { ...plain, columns: 80 },
      );
    expect(change(ChangeKind.ADDED, ["me", "cy"])).toBe("09:05 — bob added you and cy");
    expect(change(ChangeKind.LEFT, ["bob"], "cy")).toBe("09:05 — bob left; cy owns the group now");
    expect(change(ChangeKind.BANNED, ["cy"])).toBe("09:05 — bob banned cy");
    expect(change(ChangeKind.ROLE_CHANGED, ["bob"], "cy")).toBe(
      "09:05 — bob passed the group on; cy owns the group now",
    );
    expect(change(ChangeKind.CREATED, ["bob", "me"])).toBe(
      "09:05 — bob began a conversation with you",
    );
  });

  it("tells what the group is called now, without escape sequences", () => {
    const change = { case: "name", value: "Gar\u001b[2Jden" } as const;
    const renamed = message("bob", { case: "channelChange", value: { change } });
    const line = messageLines(renamed, { ...plain, columns: 80 });
    expect(line).toContain("— bob named the group Gar");
    expect(line).not.toContain("\u001b");
  });

  it("tells when somebody was last seen", () => {
    const presence = (status: Status) =>
      presenceText(
        {
          $typeName: "parley.presence.v1.Presence",
          userId: "bob",
          status,
          lastActiveTime: sendTime,
        },
        new Date(2026, 10, 22, 12, 0),
      );
    expect(presence(Status.ONLINE)).toBe("online");
    expect(presence(Status.OFFLINE)).toBe("offline, last seen 09:05");
  });
});
