/**
 * Who may do what in a channel: one table, from which the checks, docs/PERMISSIONS.md and the tests
 * of every cell are made.
 */
import {
  type Channel,
  ChannelKind,
  MemberRole,
} from "../../../gen/parley/message/v1/message_pb.js";
import { type MessageReason, notAMember, refuse } from "../message-codes.ts";
import type { ChannelState } from "./channel-state.ts";

/** What a user is in a channel: its role in a group, or outside of it, or one of two. */
export const standings = {
  OWNER: "the owner of a group",
  ADMIN: "an admin",
  MEMBER: "a member without a further role",
  FORMER: "left or was removed",
  NONE: "was never in it",
  BANNED: "was in it and is banned",
  DIRECT: "one of the two users of a DIRECT channel",
  DELETED: "was a member of the group when that was deleted",
} as const;
export type Standing = keyof typeof standings;

/** What an operation may hang on besides. */
export const conditions = {
  public: "the group is public",
  membersMayAdd: "the group's setting `members_may_add` says so",
  membersMayRename: "the group's setting `members_may_rename` says so",
  linkIsUsable: "the link can be used",
  isNotBlocked: "the other has not blocked the user",
} as const;
export type Condition = keyof typeof conditions;

/** Whether it may: always, never and why, or where a condition holds and else why not. */
export type Verdict =
  | "ALLOWED"
  | MessageReason
  | { readonly where: Condition; readonly otherwise: MessageReason };

const yes = "ALLOWED";
const out = "NOT_A_MEMBER";
const low = "ROLE_INSUFFICIENT";
const two = "NOT_A_GROUP";
const ban = "BANNED";
const its = "NOT_THE_SENDER";
const ifPublic = { where: "public", otherwise: "NOT_PUBLIC" } as const;
const ifLink = { where: "linkIsUsable", otherwise: "INVITE_LINK_INVALID" } as const;
const open = { where: "isNotBlocked", otherwise: "BLOCKED" } as const;
const mayAdd = { where: "membersMayAdd", otherwise: low } as const;
const mayRename = { where: "membersMayRename", otherwise: low } as const;

/** What an operation is, and the verdict on each standing. Where FORMER may more than NONE, stays decide. */
export interface Permission extends Record<Standing, Verdict> {
  what: string;
}

/** The table. */
export const permissions = {
  // In the order of the standings: OWNER, ADMIN, MEMBER, FORMER, NONE, BANNED, DIRECT.
  SEND: row(yes, yes, yes, out, out, out, open, "send a text"),
  EDIT_OWN: row(yes, yes, yes, out, out, out, open, "edit an own text"),
  EDIT_ANOTHERS: row(its, its, its, out, out, out, its, "edit another's text"),
  DELETE_OWN: row(yes, yes, yes, out, out, out, yes, "delete an own text"),
  DELETE_ANOTHERS: row(yes, yes, its, out, out, out, its, "delete another's text"),
  REACT: row(yes, yes, yes, out, out, out, open, "react to a text, or take it back"),
  READ_HISTORY: row(yes, yes, yes, yes, out, yes, yes, "read what was sent during own stays"),
  LIST_REVISED: row(yes, yes, yes, yes, out, yes, yes, "list what was changed of it"),
  LIST_REACTIONS: row(yes, yes, yes, yes, out, yes, yes, "list reactions to it"),
  SEARCH: row(yes, yes, yes, yes, out, yes, yes, "search in it"),
  READ_CHANNEL: row(yes, yes, yes, out, out, out, yes, "read the channel"),
  LIST_MEMBERS: row(yes, yes, yes, out, out, out, yes, "list members"),
  TYPE: row(yes, yes, yes, out, out, out, open, "tell that one is writing"),
  MARK_READ: row(yes, yes, yes, out, out, out, yes, "mark as read"),
  LIST_CURSORS: row(yes, yes, yes, out, out, out, yes, "list read cursors"),
  ADD: row(yes, yes, mayAdd, out, out, out, two, "add members"),
  REMOVE_MEMBER: row(yes, yes, low, out, out, out, two, "remove a member"),
  REMOVE_ADMIN: row(yes, low, low, out, out, out, two, "remove an admin"),
  BAN: row(yes, yes, low, out, out, out, two, "ban a user"),
  BAN_ADMIN: row(yes, low, low, out, out, out, two, "ban an admin"),
  UNBAN: row(yes, yes, low, out, out, out, two, "lift a ban"),
  LIST_BANS: row(yes, yes, low, out, out, out, two, "list bans"),
  SET_ROLE: row(yes, low, low, out, out, out, two, "make a member an admin, or the reverse"),
  TRANSFER: row(yes, low, low, out, out, out, two, "pass the group on"),
  RENAME: row(yes, yes, mayRename, out, out, out, two, "rename the group"),
  CHANGE_SETTINGS: row(yes, yes, low, out, out, out, two, "change settings"),
  CREATE_LINK: row(yes, yes, low, out, out, out, two, "create an invite link"),
  REVOKE_LINK: row(yes, yes, low, out, out, out, two, "revoke an invite link"),
  LIST_LINKS: row(yes, yes, low, out, out, out, two, "list invite links"),
  JOIN: row(yes, yes, yes, ifPublic, ifPublic, ban, two, "join"),
  JOIN_BY_LINK: row(yes, yes, yes, ifLink, ifLink, ban, two, "join by a link"),
  LEAVE: row(yes, yes, yes, out, out, out, two, "leave"),
  DELETE_CHANNEL: row(yes, low, low, out, out, out, two, "delete the group"),
} satisfies Record<string, Permission>;
export type Operation = keyof typeof permissions;

type Seven<T> = [T, T, T, T, T, T, T];

function row(...columns: [...Seven<Verdict>, string]): Permission {
  const [OWNER, ADMIN, MEMBER, FORMER, NONE, BANNED, DIRECT, what] = columns;
  const DELETED = "CHANNEL_DELETED";
  return { what, OWNER, ADMIN, MEMBER, FORMER, NONE, BANNED, DIRECT, DELETED };
}

/** What the channel itself does not say; unset: no. */
export interface Circumstances {
  /** The user has such a link. */
  linkIsUsable?: boolean;
  /** The channel is DIRECT, and the other has blocked the user. */
  isBlocked?: boolean;
}

/**
 * Checks that a user may do something in the channel as it is (undefined: it does not exist).
 * @throws DomainError with the table's reason
 */
export function authorise(
  operation: Operation,
  state: ChannelState | undefined,
  channelId: string,
  userId: string,
  circumstances: Circumstances = {},
): ChannelState {
  const verdict: Verdict = permissions[operation][standingOf(state, userId)];
  const reason = refusal(verdict, state?.channel, circumstances);
  if (state && !reason) return state;
  if (!reason || reason === "NOT_A_MEMBER") throw notAMember(channelId);
  throw refuse(reason, `${userId} may not ${permissions[operation].what}: ${channelId}`);
}

function refusal(
  verdict: Verdict,
  channel: Channel | undefined,
  circumstances: Circumstances,
): MessageReason | undefined {
  if (verdict === "ALLOWED") return undefined;
  if (typeof verdict === "string") return verdict;
  const { where, otherwise } = verdict;
  return holds(where, channel, circumstances) ? undefined : otherwise;
}

function holds(
  condition: Condition,
  channel: Channel | undefined,
  { linkIsUsable = false, isBlocked = false }: Circumstances,
): boolean {
  // Nobody gets into a group that was deleted.
  if (channel?.deleteTime) return false;
  if (condition === "linkIsUsable") return linkIsUsable;
  if (condition === "isNotBlocked") return !isBlocked;
  return channel?.[condition] ?? false;
}

/** What a user is there now. Who has been there before is not told apart from who has not. */
function standingOf(state: ChannelState | undefined, userId: string): Standing {
  const member = state?.members.get(userId);
  if (member && state?.channel.deleteTime) return "DELETED";
  if (member && state?.channel.kind === ChannelKind.DIRECT) return "DIRECT";
  if (member) return roleStandings[member.role];
  return state?.access.bans.has(userId) ? "BANNED" : "NONE";
}

const roleStandings = {
  [MemberRole.UNSPECIFIED]: "MEMBER",
  [MemberRole.MEMBER]: "MEMBER",
  [MemberRole.ADMIN]: "ADMIN",
  [MemberRole.OWNER]: "OWNER",
} as const satisfies Record<MemberRole, Standing>;
