/**
 * A channel at one point of its log: what the next entry depends on. It starts from a snapshot
 * and is moved forward by items; the writer, the workers and the history all use it.
 */
import { clone, create } from "@bufbuild/protobuf";
import {
  type ChannelSnapshot,
  ChannelSnapshotSchema,
  type LogEntry,
} from "../../gen/parley/log/v1/log_pb.js";
import {
  type Channel,
  type ChannelChange,
  ChannelSchema,
  type Member,
  MemberRole,
  type Message,
} from "../../gen/parley/message/v1/message_pb.js";
import { AccessState } from "./access-state.ts";
import { type ChannelItem, itemsOf } from "./channel-item.ts";
import { stayChanges } from "./stay-changes.ts";

/** An entry does not continue the state: one is missing or comes again. */
export class OutOfSequence extends Error {
  override readonly name = "OutOfSequence";
}

/** The channel at a point of its log. */
export class ChannelState {
  /** Its `member_count` and last ids are kept up to date. */
  readonly channel: Channel;
  readonly members: Map<string, Member>;
  readonly access: AccessState;

  /** @param accessSequence the item that the snapshot's `access` is from, if not older than it */
  constructor(snapshot: ChannelSnapshot, accessSequence = 0) {
    this.channel = snapshot.channel
      ? clone(ChannelSchema, snapshot.channel)
      : create(ChannelSchema);
    this.members = new Map(snapshot.members.map((member) => [member.userId, member]));
    this.access = new AccessState(snapshot.access, accessSequence);
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
      access: this.access.snapshot(),
    });
  }

  private applyMessage(message: Message): void {
    this.applyStays(message);
    if (message.body.case === "channelChange") this.applyChange(message.body.value);
    this.access.apply(message);
    const { channel } = this;
    channel.lastMessageId = message.messageId;
    // The message itself says it: entries before it may have been skipped.
    channel.messageCount = Math.max(channel.messageCount, message.messageNumber);
  }

  private applyStays(message: Message): void {
    const { begun, ended, changed } = stayChanges(message);
    for (const { userId } of ended) this.members.delete(userId);
    for (const member of [...begun, ...changed]) this.members.set(member.userId, member);
    this.channel.memberCount += begun.length - ended.length;
  }

  private applyChange({ change }: ChannelChange): void {
    const { channel } = this;
    if (change.case === "name") channel.name = change.value;
    if (change.case === "mode") channel.mode = change.value;
    if (change.case === "settings") {
      channel.public = change.value.public;
      channel.historyBeforeJoining = change.value.historyBeforeJoining;
      channel.membersMayAdd = change.value.membersMayAdd;
      channel.membersMayRename = change.value.membersMayRename;
    }
  }
}

/** Who owns the group when its owner leaves: the longest-standing admin, else member. */
export function successor(state: ChannelState, leavingId: string): Member | undefined {
  const others = [...state.members.values()].filter(({ userId }) => userId !== leavingId);
  const admins = others.filter(({ role }) => role === MemberRole.ADMIN);
  const candidates = admins.length ? admins : others;
  candidates.sort((a, b) => a.joinedSequence - b.joinedSequence || (a.userId < b.userId ? -1 : 1));
  return candidates[0];
}
