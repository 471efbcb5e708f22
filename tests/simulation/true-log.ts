/**
 * What has really happened: every entry that the log ever stored, with membership worked out
 * anew, apart from the code under test.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { LogEntrySchema } from "../../gen/parley/log/v1/log_pb.js";
import {
  MembershipChange_Kind as ChangeKind,
  type Channel,
  type Message,
} from "../../gen/parley/message/v1/message_pb.js";
import type { StreamEntry } from "../../mesh/streams.ts";
import type { Invariant } from "./invariants.ts";

/** A membership: from the item that began it to the one that ended it, both inclusive. */
export interface Stay {
  from: number;
  to: number;
}

/** One channel as it is. */
export class TrueChannel {
  readonly channelId: string;
  readonly isPublic: boolean;
  readonly historyBeforeJoining: boolean;
  /** Item n is at n - 1. */
  readonly items: Message[] = [];
  readonly stays = new Map<string, Stay[]>();
  readonly bans = new Set<string>();
  lastLogSequence = 0;
  ownerId = "";

  constructor(channelId: string, created: Channel | undefined) {
    this.channelId = channelId;
    this.isPublic = created?.public ?? false;
    this.historyBeforeJoining = created?.historyBeforeJoining ?? false;
  }

  get members(): string[] {
    return [...this.stays.keys()].filter((userId) => this.isMember(userId));
  }

  isMember(userId: string): boolean {
    return this.stays.get(userId)?.at(-1)?.to === Number.POSITIVE_INFINITY;
  }

  /** A user comes or goes. */
  move(userId: string, sequence: number, enters: boolean): void {
    const stays = this.stays.get(userId) ?? [];
    if (enters) stays.push({ from: sequence, to: Number.POSITIVE_INFINITY });
    else if (stays.length > 0) stays.at(-1)!.to = sequence;
    this.stays.set(userId, stays);
  }

  /** What was sent while the user was a member. */
  ofStays(userId: string): Message[] {
    return this.items.filter((item) => this.inStay(userId, item.channelSequence));
  }

  /** Whether the user may ever have seen the item: by its stays, or by looking back. */
  mayHaveSeen(userId: string, sequence: number): boolean {
    if (this.inStay(userId, sequence)) return true;
    const last = this.stays.get(userId)?.at(-1);
    return this.historyBeforeJoining && last !== undefined && sequence <= last.to;
  }

  /** What the user may read now. */
  readableBy(userId: string): Message[] {
    if (this.historyBeforeJoining && this.isMember(userId)) return [...this.items];
    return this.ofStays(userId);
  }

  /** How often the user has come or gone. */
  changesOf(userId: string): number {
    const stays = this.stays.get(userId) ?? [];
    return 2 * stays.length - (this.isMember(userId) ? 1 : 0);
  }

  /** Whether the user was a member when the item came. */
  inStay(userId: string, sequence: number): boolean {
    const stays = this.stays.get(userId) ?? [];
    return stays.some(({ from, to }) => from <= sequence && sequence <= to);
  }
}

/** Says what is wrong. */
export type Blame = (invariant: Invariant, what: string) => void;

/** All channels as they are. */
export class TrueLog {
  readonly channels = new Map<string, TrueChannel>();
  private readonly blame: Blame;
  private readonly messageIds = new Set<bigint>();

  constructor(blame: Blame) {
    this.blame = blame;
  }

  /** Takes an entry as it is stored, and checks that it continues its channel. */
  add(stored: StreamEntry): Message[] {
    const { blame } = this;
    const entry = fromBinary(LogEntrySchema, stored.data);
    const { channelId } = entry;
    let channel = this.channels.get(channelId);
    if (!channel) {
      const created = entry.snapshot?.channel;
      if (!created) blame("dense-order", `the first entry of ${channelId} has no snapshot`);
      channel = new TrueChannel(channelId, created);
      this.channels.set(channelId, channel);
    }
    channel.lastLogSequence = stored.sequence;
    const messages = entry.items.flatMap(({ item }) => (item.case === "message" ? item.value : []));
    for (const message of messages) {
      const place = `${channelId} #${message.channelSequence}`;
      const before = channel.items.at(-1);
      if (message.channelSequence !== channel.items.length + 1) {
        blame("dense-order", `${place} follows #${channel.items.length}`);
      }
      if (message.messageId <= (before?.messageId ?? 0n)) {
        blame(
          "dense-order",
          `${place} has id ${message.messageId}, not above ${before?.messageId}`,
        );
      }
      if (message.prevMessageId !== (before?.messageId ?? 0n)) {
        blame("dense-order", `${place} names ${message.prevMessageId} as the one before`);
      }
      if (this.messageIds.has(message.messageId)) {
        blame("dense-order", `${place} has the id ${message.messageId} of another message`);
      }
      this.messageIds.add(message.messageId);
      channel.items.push(message);
      this.changeMembers(channel, message);
    }
    return messages;
  }

  private changeMembers(channel: TrueChannel, message: Message): void {
    const { body, senderId, channelSequence } = message;
    const wasMember = channel.isMember(senderId);
    const blame = (what: string) => {
      this.blame("right-decisions", `${channel.channelId} #${channelSequence} ${what}`);
    };
    let mayBeStranger = false;
    if (body.case === "membershipChange") {
      const { kind, userIds, newOwnerId } = body.value;
      const enters = [ChangeKind.CREATED, ChangeKind.ADDED, ChangeKind.JOINED].includes(kind);
      const stays = [ChangeKind.UNBANNED, ChangeKind.ROLE_CHANGED].includes(kind);
      for (const userId of stays ? [] : userIds) {
        if (enters && channel.bans.has(userId)) blame(`lets ${userId} in, who is banned`);
        // Who is banned need not have been a member.
        if (kind === ChangeKind.BANNED && !channel.isMember(userId)) continue;
        if (channel.isMember(userId) === enters) blame(`has ${userId} come or go twice`);
        channel.move(userId, channelSequence, enters);
      }
      for (const userId of userIds) {
        if (kind === ChangeKind.BANNED) channel.bans.add(userId);
        if (kind === ChangeKind.UNBANNED) channel.bans.delete(userId);
      }
      mayBeStranger = kind === ChangeKind.CREATED || kind === ChangeKind.JOINED;
      if (kind === ChangeKind.CREATED) channel.ownerId = senderId;
      if (!channel.isMember(channel.ownerId)) channel.ownerId = "";
      if (newOwnerId !== "") channel.ownerId = newOwnerId;
      if (channel.members.length > 0 && channel.ownerId === "") blame("leaves no owner");
    }
    if (!wasMember && !mayBeStranger) blame(`is by ${senderId}, who is no member`);
  }
}
