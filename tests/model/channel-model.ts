/**
 * The reference: what a channel is after the items of its log, worked out from the rules alone and
 * apart from the code under test.
 */
import {
  MembershipChange_Kind as ChangeKind,
  MemberRole,
  type Message,
} from "../../edge/sdk/index.ts";

/** What a user wants of a channel. */
export type Intent =
  | { kind: "send"; text: string }
  | { kind: "add"; userId: string }
  | { kind: "remove"; userId: string }
  | { kind: "join" }
  | { kind: "leave" };

/** What becomes of it: an item, nothing because it is so already, or a refusal. */
export type Verdict = "item" | "nothing" | "refused";

/** From the item that made a user a member to the one that ended it, both inclusive. */
interface Stay {
  from: number;
  to: number;
}

/** What a group is created with. */
export interface ModelSettings {
  isGroup: boolean;
  isPublic: boolean;
  seesAll: boolean;
}

/** One channel. */
export class ChannelModel {
  readonly settings: ModelSettings;
  /** Item n is at n - 1. */
  readonly items: Message[] = [];
  readonly members = new Map<string, MemberRole>();
  private readonly stays = new Map<string, Stay[]>();

  constructor(settings: ModelSettings) {
    this.settings = settings;
  }

  /** What an intent comes to now. */
  verdict(userId: string, intent: Intent): Verdict {
    const role = this.members.get(userId);
    if (intent.kind === "join") {
      if (role !== undefined) return "nothing";
      return this.settings.isPublic ? "item" : "refused";
    }
    if (role === undefined) return "refused";
    if (intent.kind === "send") return "item";
    if (!this.settings.isGroup) return "refused";
    if (intent.kind === "leave") return "item";
    if (role < MemberRole.ADMIN) return "refused";
    const other = this.members.get(intent.userId);
    if (intent.kind === "add") return other === undefined ? "item" : "nothing";
    return other === undefined || other >= role ? "refused" : "item";
  }

  /** Takes the next item. @throws Error where it does not follow from the rules */
  apply(item: Message): void {
    const before = this.items.at(-1);
    const place = `${item.channelId} #${item.channelSequence}`;
    const expected = {
      channelSequence: this.items.length + 1,
      prevMessageId: before?.messageId ?? 0n,
    };
    if (item.channelSequence !== expected.channelSequence) {
      throw new Error(`${place} follows #${this.items.length}`);
    }
    if (item.prevMessageId !== expected.prevMessageId || item.messageId <= item.prevMessageId) {
      throw new Error(`${place} does not follow the message before it`);
    }
    this.items.push(item);
    const { body, channelSequence } = item;
    if (body.case !== "membershipChange") return;
    const { kind, userIds } = body.value;
    const enters = kind !== ChangeKind.REMOVED && kind !== ChangeKind.LEFT;
    for (const userId of userIds) {
      if (this.members.has(userId) === enters) throw new Error(`${place}: ${userId} did already`);
      if (enters) this.enter(userId, channelSequence, this.roleAtEntry(item, userId));
      else this.leave(userId, channelSequence);
    }
  }

  /** What a user may read now, in order. */
  readableBy(userId: string): Message[] {
    if (this.settings.seesAll && this.members.has(userId)) return [...this.items];
    return this.ofStays(userId);
  }

  /** What was sent while the user was a member: what its devices are told of. */
  ofStays(userId: string): Message[] {
    const stays = this.stays.get(userId) ?? [];
    return this.items.filter(({ channelSequence }) =>
      stays.some(({ from, to }) => from <= channelSequence && channelSequence <= to),
    );
  }

  /** Whether the user may ever have seen an item: by its stays, or by looking back. */
  mayHaveSeen(userId: string, { channelSequence }: Message): boolean {
    const stays = this.stays.get(userId) ?? [];
    return stays.some(
      ({ from, to }) => channelSequence <= to && (this.settings.seesAll || from <= channelSequence),
    );
  }

  private enter(userId: string, sequence: number, role: MemberRole): void {
    this.members.set(userId, role);
    const stays = this.stays.get(userId) ?? [];
    stays.push({ from: sequence, to: Number.POSITIVE_INFINITY });
    this.stays.set(userId, stays);
  }

  private leave(userId: string, sequence: number): void {
    this.members.delete(userId);
    this.stays.get(userId)!.at(-1)!.to = sequence;
  }

  private roleAtEntry({ senderId, body }: Message, userId: string): MemberRole {
    const isCreation = body.case === "membershipChange" && body.value.kind === ChangeKind.CREATED;
    const owns = this.settings.isGroup && isCreation && senderId === userId;
    return owns ? MemberRole.OWNER : MemberRole.MEMBER;
  }
}
