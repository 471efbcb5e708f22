/** What `parley chat` says, in words. */
import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  MembershipChange_Kind as ChangeKind,
  type ChannelChange,
  errorReason,
  errorRetryAfterMs,
  MemberRole,
  type Message,
  type Presence,
  Status,
} from "../sdk/index.ts";
import type { Paint, Style } from "./terminal.ts";
import { harmless, textWidth, wrapText } from "./terminal-text.ts";

/** Tells who somebody is: their name, or "you". */
export type NameOf = (userId: string) => string;

/** A message as lines of at most `columns`. */
export function messageLines(
  message: Message,
  { nameOf, paint, columns, myId }: { nameOf: NameOf; paint: Paint; columns: number; myId: string },
): string {
  const time = clockTime(sentAt(message));
  const { body, senderId } = message;
  if (body.case === "membershipChange" || body.case === "channelChange") {
    const text = changeText(message, nameOf);
    return wrapText(`${time} — ${text}`, columns)
      .map((line) => paint("dim", line))
      .join("\n");
  }
  const isMine = senderId === myId;
  const name = nameOf(senderId);
  const text = saidIn(message);
  const before = `${time} ${name}: `;
  const lines = indented(before, isMine ? `${text} ✓` : text, columns);
  const shownName = paint(isMine ? "bold" : styleOf(senderId), name);
  return lines.replace(before, () => `${paint("dim", time)} ${shownName}: `);
}

function saidIn({ body, deleteTime, editTime }: Message): string {
  if (deleteTime) return "(deleted)";
  if (body.case !== "text") return "(something that this program can't show)";
  return editTime ? `${harmless(body.value)} (edited)` : harmless(body.value);
}

/** The day of a message, to be shown where it changes. */
export function dayOf(message: Message): string {
  return sentAt(message).toLocaleDateString("en-GB", {
    weekday: "long",
    day: "numeric",
    month: "long",
    year: "numeric",
  });
}

/** A text of one's own that has not come back from its channel: on its way, or accepted. */
export function unsettledLine(text: string, isAccepted: boolean): string {
  return `      you: ${harmless(text)} ${isAccepted ? "✓" : "…"}`;
}

/** Whether somebody is there. */
export function presenceText({ status, lastActiveTime }: Presence, now = new Date()): string {
  if (status === Status.ONLINE) return "online";
  if (status === Status.UNSPECIFIED) return "perhaps online";
  if (!lastActiveTime) return "offline";
  const seen = timestampDate(lastActiveTime);
  const isToday = seen.toDateString() === now.toDateString();
  return `offline, last seen ${isToday ? clockTime(seen) : seen.toLocaleDateString("en-GB")}`;
}

/** Why something failed, for people. */
export function inWords(error: unknown): string {
  const reason = errorReason(error);
  const words = wordsByReason[reason];
  const waitMs = errorRetryAfterMs(error);
  const wait = waitMs >= 1_000 ? ` Try again in ${Math.ceil(waitMs / 1_000)} s.` : "";
  return (words ?? harmless(rawMessage(error))) + wait;
}

const wordsByReason: Readonly<Record<string, string>> = {
  CREDENTIALS_WRONG: "Wrong name or password.",
  USERNAME_TAKEN: "That name is taken.",
  TOO_MANY_ATTEMPTS: "Too many attempts.",
  TOO_MANY_FRIENDS: "You have as many friends as one can have.",
  USER_NOT_FOUND: "There is nobody of that name.",
  FRIEND_REQUEST_NOT_FOUND: "Nobody of that name has asked you.",
  BLOCKED: "You or the other has blocked the other.",
  NOT_IN_AUDIENCE: "The other wants that of friends alone, or of nobody.",
  NOT_A_MEMBER: "You are not in this conversation.",
  CHANNEL_DELETED: "This group was deleted.",
  NOT_A_GROUP: "That is for groups only.",
  ROLE_INSUFFICIENT: "Only the owner and admins of a group may do that.",
  GROUP_FULL: "The group is full.",
  OVERLOADED: "The server is busy.",
  UNAVAILABLE: "The server can't do that just now.",
  TIMED_OUT: "The server does not answer.",
  CONNECTION_LOST: "The connection was lost; it may or may not have happened.",
  TEXT_TOO_LONG: "That is too long: a text has at most 99,999 characters.",
  TOO_MUCH_WAITING: "Too much is waiting to be sent.",
  SIGNED_OUT: "You are signed out.",
};

const nameStyles: readonly Style[] = ["cyan", "green", "magenta", "yellow", "blue"];

/** A person keeps a colour. */
function styleOf(userId: string): Style {
  let sum = 0;
  for (const character of userId) sum += character.charCodeAt(0);
  return nameStyles[sum % nameStyles.length]!;
}

function changeText({ senderId, body }: Message, nameOf: NameOf): string {
  const sender = nameOf(senderId);
  if (body.case === "channelChange") return `${sender} ${channelChangeText(body.value)}`;
  if (body.case !== "membershipChange") return "";
  const { kind, userIds, newOwnerId, role } = body.value;
  const others = list(userIds.filter((userId) => userId !== senderId).map(nameOf));
  const owner = newOwnerId ? `; ${nameOf(newOwnerId)} owns the group now` : "";
  switch (kind) {
    case ChangeKind.CREATED:
      return `${sender} began a conversation with ${others || "nobody else yet"}`;
    case ChangeKind.ADDED:
      return `${sender} added ${others}`;
    case ChangeKind.REMOVED:
      return `${sender} removed ${others}`;
    case ChangeKind.JOINED:
      return `${sender} joined`;
    case ChangeKind.LEFT:
      return `${sender} left${owner}`;
    case ChangeKind.BANNED:
      return `${sender} banned ${others}`;
    case ChangeKind.UNBANNED:
      return `${sender} lifted the ban of ${others}`;
    case ChangeKind.ROLE_CHANGED:
      if (newOwnerId) return `${sender} passed the group on${owner}`;
      return `${sender} made ${others} ${role === MemberRole.ADMIN ? "an admin" : "a member"}`;
    default:
      return `${sender} changed the group`;
  }
}

function channelChangeText({ change }: ChannelChange): string {
  switch (change.case) {
    case "name":
      return `named the group ${harmless(change.value)}`;
    case "settings":
      return "changed the group's settings";
    case "inviteLinkCreated":
      return "created an invite link";
    case "revokedInviteLinkId":
      return "revoked an invite link";
    case "deletion":
      return "deleted the group";
    default:
      return "changed the group";
  }
}

function list(names: readonly string[]): string {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** Lines below the first stand under its text, where there is room for that. */
function indented(before: string, text: string, columns: number): string {
  const indent = textWidth(before);
  if (columns - indent < 20) return wrapText(before + text, columns).join("\n");
  return before + wrapText(text, columns - indent).join(`\n${" ".repeat(indent)}`);
}

function sentAt({ sendTime }: Message): Date {
  return sendTime ? timestampDate(sendTime) : new Date();
}

function clockTime(date: Date): string {
  return date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

function rawMessage(error: unknown): string {
  if (error instanceof Error && "rawMessage" in error) return String(error.rawMessage);
  return error instanceof Error ? error.message : String(error);
}
