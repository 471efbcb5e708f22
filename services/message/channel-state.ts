/**
 * A channel at one point of its log: what the next entry depends on. It starts from a snapshot
 * and is moved forward by items; the writer, the workers and the history all use it.
 */
import { clone, create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ChannelSnapshot,
  ChannelSnapshotSchema,
  type LogEntry,
} from "../../gen/parley/log/v1/log_pb.js";
import {
  MembershipChange_Kind as ChangeKind,
  type Channel,
  ChannelKind,
  ChannelSchema,
  type Member,
  MemberRole,
  MemberSchema,
  type MembershipChange,
  type Message,
} from "../../gen/parley/message/v1/message_pb.js";
import { type ChannelItem, itemsOf } from "./channel-item.ts";

/** An entry does not continue the state: one is missing or comes again. */
export class OutOfSequence extends Error {
  override readonly name = "OutOfSequence";
}

/** The channel at a point of its log. */
export class ChannelState {
  /** Its `member_count` and last ids are kept up to date. */
  readonly channel: Channel;
  readonly members: Map<string, Member>;

  constructor(snapshot: ChannelSnapshot) {
    this.channel = snapshot.channel
      ? clone(ChannelSchema, snapshot.channel)
      : create(ChannelSchema);
    this.members = new Map(snapshot.members.map((member) => [member.userId, member]));
  }

  /** Moves on by one item. @throws OutOfSequence */
  applyItem(item: ChannelItem): void {
    const { channel } = this;
    const { channelSequence } = item.value;
    if (channelSequence !== channel.lastChannelSequence + 1) {
      throw new OutOfSequence(
        `${channel.channelId}: item ${channelSequence} after ${channel.lastChannelSequence}`,
      );
    }
    if (item.case === "message") this.applyMessage(item.value);
    channel.lastChannelSequence = channelSequence;
  }

  /** Moves on by one entry. @throws OutOfSequence */
  applyEntry(entry: LogEntry): void {
    for (const item of itemsOf(entry)) this.applyItem(item);
  }

  /**
   * Moves on to an entry over the items of those before it that can't be decoded. What they did to
   * the members is not known: the channel's next snapshot has it.
   */
  skipTo(entry: LogEntry): void {
    const first = entry.items[0]?.item.value?.channelSequence ?? 0;
    const { channel } = this;
    channel.lastChannelSequence = Math.max(channel.lastChannelSequence, first - 1);
  }

  /** A copy that does not move with this state. */
  snapshot(): ChannelSnapshot {
    return create(ChannelSnapshotSchema, {
      channel: clone(ChannelSchema, this.channel),
      members: [...this.members.values()],
    });
  }

  private applyMessage(message: Message): void {
    if (message.body.case === "membershipChange") this.applyChange(message, message.body.value);
    this.channel.lastMessageId = message.messageId;
  }

  private applyChange(message: Message, change: MembershipChange): void {
    for (const userId of change.userIds) {
      if (change.kind === ChangeKind.REMOVED || change.kind === ChangeKind.LEFT) {
        this.members.delete(userId);
      } else {
        this.members.set(userId, this.newMember(message, change, userId));
      }
    }
    const owner = this.members.get(change.newOwnerId);
    if (owner) {
      const { userId, joinTime, joinedSequence } = owner;
      const role = MemberRole.OWNER;
      this.members.set(userId, create(MemberSchema, { userId, role, joinTime, joinedSequence }));
    }
    this.channel.memberCount = this.members.size;
  }

  private newMember(message: Message, change: MembershipChange, userId: string): Member {
    const owns =
      change.kind === ChangeKind.CREATED &&
      this.channel.kind === ChannelKind.GROUP &&
      userId === message.senderId;
    return create(MemberSchema, {
      userId,
      role: owns ? MemberRole.OWNER : MemberRole.MEMBER,
      joinTime: message.sendTime ?? timestampFromMs(0),
      joinedSequence: message.channelSequence,
    });
  }
}

/** Who owns the group when its owner leaves: the longest-standing admin, else member. */
export function successor(state: ChannelState, leavingId: string): string {
  const others = [...state.members.values()].filter(({ userId }) => userId !== leavingId);
  const admins = others.filter(({ role }) => role === MemberRole.ADMIN);
  const candidates = admins.length ? admins : others;
  candidates.sort((a, b) => a.joinedSequence - b.joinedSequence || (a.userId < b.userId ? -1 : 1));
  return candidates[0]?.userId ?? "";
}
