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
  type Revision,
} from "../../gen/parley/message/v1/message_pb.js";
import type { StreamEntry } from "../../mesh/streams.ts";
import type { Invariant } from "./invariants.ts";

/** A membership: from the item that began it to the one that ended it, both inclusive. */
export interface Stay {
  from: number;
  to: number;
}

/** A message, or a revision of one. */
export type TrueItem = Message | Revision;

/** Whether it is a message. */
export function isMessage(item: TrueItem): item is Message {
  return item.$typeName === "parley.message.v1.Message";
}

/** One channel as it is. */
export class TrueChannel {
  readonly channelId: string;
  readonly isPublic: boolean;
  readonly historyBeforeJoining: boolean;
  /** Item n is at n - 1. */
  readonly items: TrueItem[] = [];
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

  get messages(): Message[] {
    return this.items.filter(isMessage);
  }

  /** The texts that a message has ever had. */
  textsOf({ messageId, body }: Message): string[] {
    const first = body.case === "text" ? [body.value] : [];
    const edits = this.revisionsOf(messageId).flatMap(({ change }) => {
      return change.case === "edit" ? change.value.text : [];
    });
    return [...first, ...edits];
  }

  /** What a message is for a user at the end, in the words of `stateOf`. */
  stateFor(message: Message, userId: string): string {
    const sees = (sequence: number) =>
      this.inStay(userId, sequence) || (this.historyBeforeJoining && this.isMember(userId));
    let body = message.body.case === "text" ? message.body.value : message.body.case;
    const given = new Map<string, string[]>();
    for (const { change, channelSequence, senderId } of this.revisionsOf(message.messageId)) {
      if (change.case === "deletion") return "deleted";
      const isSeen = sees(channelSequence);
      if (change.case === "edit") body = isSeen ? change.value.text : undefined;
      else if (change.case) {
        // Of a reaction the newest state counts: who may not see that one sees none.
        const { emoji } = change.value;
        const others = (given.get(emoji) ?? []).filter((user) => user !== senderId);
        const isGiven = change.case === "reactionAdded" && isSeen;
        given.set(emoji, isGiven ? [...others, senderId] : others);
      }
    }
    return stateText(body, given);
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
    return this.messages.filter((item) => this.inStay(userId, item.channelSequence));
  }

  /** Whether the user may ever have seen the item: by its stays, or by looking back. */
  mayHaveSeen(userId: string, sequence: number): boolean {
    if (this.inStay(userId, sequence)) return true;
    const last = this.stays.get(userId)?.at(-1);
    return this.historyBeforeJoining && last !== undefined && sequence <= last.to;
  }

  /** What the user may read now. */
  readableBy(userId: string): Message[] {
    if (this.historyBeforeJoining && this.isMember(userId)) return this.messages;
    return this.ofStays(userId);
  }

  private revisionsOf(messageId: bigint): Revision[] {
    return this.items.filter((item): item is Revision => {
      return !isMessage(item) && item.messageId === messageId;
    });
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

/** What a message is now: its text and who gave it what, or that it was deleted. */
export function stateOf({ body, deleteTime, reactions }: Message): string {
  if (deleteTime) return "deleted";
  const given = new Map(reactions.map(({ emoji, userIds }) => [emoji, userIds]));
  return stateText(body.case === "text" ? body.value : body.case, given);
}

function stateText(body: string | undefined, given: ReadonlyMap<string, readonly string[]>) {
  const reactions = [...given].filter(([, users]) => users.length > 0).sort();
  return `${body ?? "omitted"} ${reactions.map(([emoji, users]) => `${emoji} ${users}`).join("; ")}`;
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
  add(stored: StreamEntry): TrueItem[] {
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
    const items = entry.items.flatMap(({ item }) => (item.case === undefined ? [] : item.value));
    for (const message of items) {
      const place = `${channelId} #${message.channelSequence}`;
      const before = channel.messages.at(-1);
      if (message.channelSequence !== channel.items.length + 1) {
        blame("dense-order", `${place} follows #${channel.items.length}`);
      }
      if (!isMessage(message)) {
        this.checkRevision(channel, message);
        channel.items.push(message);
        continue;
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
    return items;
  }

  private checkRevision(channel: TrueChannel, revision: Revision): void {
    const { messageId, messageChannelSequence, senderId, change, channelSequence } = revision;
    const blame = (what: string) => {
      this.blame("right-decisions", `${channel.channelId} #${channelSequence} ${what}`);
    };
    const target = channel.messages.find((message) => message.messageId === messageId);
    if (target?.channelSequence !== messageChannelSequence) blame("revises no message");
    else if (target.body.case !== "text") blame("revises what is no text");
    else {
      const state = channel.stateFor(target, senderId);
      if (state === "deleted") blame("revises what was deleted");
      const isOwn = target.senderId === senderId;
      if ((change.case === "edit" || change.case === "deletion") && !isOwn) blame("is another's");
    }
    if (!channel.isMember(senderId)) blame(`is by ${senderId}, who is no member`);
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
