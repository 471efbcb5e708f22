/** Who is kept out of a channel, and the links by which others get in: a part of its state. */
import { clone, create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type ChannelAccess,
  ChannelAccessSchema,
  type StoredInviteLink,
  StoredInviteLinkSchema,
} from "../../../gen/parley/log/v1/log_pb.js";
import {
  type Ban,
  BanSchema,
  MembershipChange_Kind as ChangeKind,
  type ChannelChange,
  type InviteLink,
  InviteLinkSchema,
  type MembershipChange,
  type Message,
} from "../../../gen/parley/message/v1/message_pb.js";

/** Bans of a channel: its state and snapshots hold them all. */
export const bansMax = 1_000;
/** Links of a channel that can be used. */
export const inviteLinksMax = 50;

/** The bans and links at a point of the channel's log. What they hold is replaced, never changed. */
export class AccessState {
  readonly bans: Map<string, Ban>;
  readonly inviteLinks: Map<number, StoredInviteLink>;
  /** The item that changed them last, as far as that is known. */
  changedSequence: number;

  constructor(access: ChannelAccess | undefined, changedSequence: number) {
    this.bans = new Map(access?.bans.map((ban) => [ban.userId, ban]));
    this.inviteLinks = new Map(
      access?.inviteLinks.map((link) => [link.inviteLink!.inviteLinkId, link]),
    );
    this.changedSequence = changedSequence;
  }

  /** Moves on by an item. One that is in it already, because the store knew more, changes nothing. */
  apply(message: Message): void {
    const { body, channelSequence } = message;
    if (channelSequence <= this.changedSequence) return;
    const isChanged =
      (body.case === "membershipChange" && this.applyMembership(message, body.value)) ||
      (body.case === "channelChange" && this.applyChange(message, body.value));
    if (isChanged) this.changedSequence = channelSequence;
  }

  /** The links that can be used at a time, the oldest first. */
  usableLinks(nowMs: number): StoredInviteLink[] {
    return [...this.inviteLinks.values()].filter(({ inviteLink }) => isUsable(inviteLink!, nowMs));
  }

  /** A copy that does not move with this state. */
  snapshot(): ChannelAccess {
    return create(ChannelAccessSchema, {
      bans: [...this.bans.values()],
      inviteLinks: [...this.inviteLinks.values()],
    });
  }

  private applyMembership(message: Message, change: MembershipChange): boolean {
    const { kind, userIds, inviteLinkId } = change;
    if (kind === ChangeKind.BANNED) {
      const { senderId: bannedById, sendTime: banTime } = message;
      for (const userId of userIds) {
        this.bans.set(userId, create(BanSchema, { userId, bannedById, banTime }));
      }
      return true;
    }
    if (kind === ChangeKind.UNBANNED) {
      for (const userId of userIds) this.bans.delete(userId);
      return true;
    }
    const used = this.inviteLinks.get(inviteLinkId);
    if (!used) return false;
    const link = clone(StoredInviteLinkSchema, used);
    link.inviteLink!.uses++;
    this.inviteLinks.set(inviteLinkId, link);
    return true;
  }

  private applyChange(message: Message, { change }: ChannelChange): boolean {
    if (change.case === "inviteLinkCreated") {
      const nowMs = message.sendTime ? timestampMs(message.sendTime) : 0;
      for (const [id, { inviteLink }] of this.inviteLinks) {
        if (!isUsable(inviteLink!, nowMs)) this.inviteLinks.delete(id);
      }
      const { inviteLink, tokenHash } = change.value;
      const link = create(StoredInviteLinkSchema, {
        inviteLink: clone(InviteLinkSchema, inviteLink!),
        tokenHash,
      });
      link.inviteLink!.inviteLinkId = message.channelSequence;
      this.inviteLinks.set(message.channelSequence, link);
      return true;
    }
    return change.case === "revokedInviteLinkId" && this.inviteLinks.delete(change.value);
  }
}

function isUsable({ expireTime, maxUses, uses }: InviteLink, nowMs: number): boolean {
  if (maxUses > 0 && uses >= maxUses) return false;
  return !expireTime || timestampMs(expireTime) > nowMs;
}
