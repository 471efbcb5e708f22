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
} from "../../../gen/parley/log/v1/log_pb.js";
import {
  type Channel,
  type ChannelChange,
  ChannelSchema,
  DeliveryMode,
  type Member,
  MemberRole,
  type Message,
} from "../../../gen/parley/message/v1/message_pb.js";
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
  /** All members of a COPY channel; of a LIVE one its owner and admins and others that it `knows`. */
  readonly members: Map<string, Member>;
  readonly access: AccessState;
  /** LIVE: every change of membership after this item is known. */
  coveredSequence = 0;
  /** LIVE: who is known to be a member or none, besides owner and admins, and since which item. */
  private readonly known = new Map<string, number>();

  /** @param accessSequence the item that the snapshot's `access` is from, if not older than it */
  constructor(snapshot: ChannelSnapshot, accessSequence = 0) {
    this.channel = snapshot.channel
      ? clone(ChannelSchema, snapshot.channel)
      : create(ChannelSchema);
    this.members = new Map(snapshot.members.map((member) => [member.userId, member]));
    if (this.isLive) this.coveredSequence = this.channel.lastChannelSequence;
    this.access = new AccessState(snapshot.access, accessSequence);
  }

  /** Whether members are not all at hand. */
  get isLive(): boolean {
    return this.channel.mode === DeliveryMode.LIVE;
  }

  /** Whether `members` has the user if it is a member. */
  knows(userId: string): boolean {
    return !this.isLive || this.known.has(userId) || this.members.has(userId);
  }

  /** How many are known besides owner and admins of a LIVE channel. */
  get knownCount(): number {
    return this.known.size;
  }

  /** LIVE: those whose membership has changed lately; undefined: is none any more. */
  *changedMembers(): Generator<[userId: string, member: Member | undefined]> {
    for (const [userId, sequence] of this.known) {
      if (sequence > 0) yield [userId, this.members.get(userId)];
    }
  }

  /**
   * LIVE: takes note of somebody who was looked up.
   * @param sequence of the item that made the user what it is; 0: one that the store has
   */
  learn(userId: string, member: Member | undefined, sequence = 0): void {
    if (this.knows(userId)) return;
    this.known.set(userId, sequence);
    if (member) this.members.set(userId, member);
  }

  /** LIVE: forgets whoever can be looked up in a store that has everything up to this item. */
  forget(persistedSequence: number): void {
    if (!this.isLive) return;
    for (const [userId, sequence] of this.known) {
      if (sequence > persistedSequence) continue;
      this.known.delete(userId);
      if (this.members.get(userId)?.role === MemberRole.MEMBER) this.members.delete(userId);
    }
    const last = Math.min(persistedSequence, this.channel.lastChannelSequence);
    this.coveredSequence = Math.max(this.coveredSequence, last);
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
    const members = [...this.members.values()];
    return create(ChannelSnapshotSchema, {
      channel: clone(ChannelSchema, this.channel),
      members: this.isLive ? members.filter(({ role }) => role > MemberRole.MEMBER) : members,
      access: this.access.snapshot(),
    });
  }

  private applyMessage(message: Message): void {
    this.applyStays(message);
    if (message.body.case === "channelChange") {
      this.applyChange(message.body.value, message);
    }
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
    if (!this.isLive) return;
    for (const { userId } of [...begun, ...ended, ...changed]) {
      this.known.set(userId, message.channelSequence);
    }
  }

  private applyChange({ change }: ChannelChange, message: Message): void {
    const { channel } = this;
    const { channelSequence: sequence, sendTime = timestampFromMs(0) } = message;
    if (change.case === "name") channel.name = change.value;
    if (change.case === "mode") {
      channel.mode = change.value;
      // Who left before is not among them, and may be a member still as the store knows it.
      for (const userId of this.members.keys()) this.known.set(userId, sequence);
      this.coveredSequence = sequence;
    }
    if (change.case === "deletion") channel.deleteTime = sendTime;
    if (change.case === "settings") {
      channel.public = change.value.public;
      channel.historyBeforeJoining = change.value.historyBeforeJoining;
      channel.membersMayAdd = change.value.membersMayAdd;
      channel.membersMayRename = change.value.membersMayRename;
    }
  }
}
