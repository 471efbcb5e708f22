/**
 * The reference: what a channel is after the items of its log, worked out from the rules alone and
 * apart from the code under test.
 */
import {
  MembershipChange_Kind as ChangeKind,
  type ChannelChange,
  MemberRole,
  type MembershipChange,
  type Message,
} from "../../edge/sdk/index.ts";
import { type Change, MessageModel } from "./message-model.ts";

/** What a user wants of a channel. */
export type Intent =
  | { kind: "send"; text: string }
  | { kind: "read"; messageId: bigint }
  | { kind: "add" | "remove" | "ban" | "unban" | "promote" | "demote"; userId: string }
  | { kind: "join" }
  | { kind: "leave" }
  | { kind: "rename"; name: string }
  | { kind: "settings"; seesAll: boolean; mayAdd: boolean }
  | Change;

/** What becomes of it: an item, nothing because it is so already, or a refusal. */
export type Verdict = "item" | "nothing" | "refused";

/** From the item that made a user a member to the one that ended it, both inclusive. */
interface Stay {
  from: number;
  to: number;
}

/** What a channel is like. */
export interface ModelSettings {
  isGroup: boolean;
  isPublic: boolean;
  /** Whether members read what was sent before they joined. */
  seesAll: boolean;
  /** Whether members without a further role add others. */
  mayAdd: boolean;
  name: string;
}

/** One channel. */
export class ChannelModel {
  readonly settings: ModelSettings;
  readonly bans = new Set<string>();
  texts = 0;
  /** The item that turned it LIVE; infinite: it is COPY. */
  liveSince = Number.POSITIVE_INFINITY;
  /** In order. */
  readonly messages: MessageModel[] = [];
  lastSequence = 0;
  readonly members = new Map<string, MemberRole>();
  private readonly stays = new Map<string, Stay[]>();
  private hasSeenAll: boolean;

  constructor(settings: ModelSettings) {
    this.settings = { ...settings };
    this.hasSeenAll = settings.seesAll;
  }

  /** What an intent comes to now. */
  verdict(userId: string, intent: Intent): Verdict {
    const { settings, members, bans } = this;
    const role = members.get(userId);
    if (intent.kind === "join" && settings.isGroup) {
      if (role !== undefined) return "nothing";
      return settings.isPublic && !bans.has(userId) ? "item" : "refused";
    }
    if (role === undefined) return "refused";
    if (intent.kind === "send") return "item";
    if (intent.kind === "read") return "nothing";
    if ("messageId" in intent) {
      const message = this.messages.find(({ message }) => message.messageId === intent.messageId);
      if (!message || !this.maySee(userId, message.message.channelSequence)) return "refused";
      const mayDelete = settings.isGroup && role >= MemberRole.ADMIN;
      return message.verdict(userId, intent, mayDelete);
    }
    if (!settings.isGroup || intent.kind === "join") return "refused";
    if (intent.kind === "leave") return "item";
    const isAdder = intent.kind === "add" && settings.mayAdd;
    if (role < MemberRole.ADMIN && !isAdder) return "refused";
    if (intent.kind === "rename") return settings.name === intent.name ? "nothing" : "item";
    if (intent.kind === "settings") {
      const isSo = settings.seesAll === intent.seesAll && settings.mayAdd === intent.mayAdd;
      return isSo ? "nothing" : "item";
    }
    return this.verdictOn(intent.kind, intent.userId, { userId, role });
  }

  /** The same of what is done to a user, by an admin or an owner but for `add`. */
  private verdictOn(
    kind: "add" | "remove" | "ban" | "unban" | "promote" | "demote",
    otherId: string,
    by: { userId: string; role: MemberRole },
  ): Verdict {
    const other = this.members.get(otherId);
    const isBanned = this.bans.has(otherId);
    if (kind === "add") {
      if (other !== undefined) return "nothing";
      return isBanned ? "refused" : "item";
    }
    if (kind === "unban") return isBanned ? "item" : "nothing";
    if (otherId === by.userId) return "refused";
    if (kind === "ban") {
      if (isBanned) return "nothing";
      return other === undefined || other < by.role ? "item" : "refused";
    }
    if (other === undefined) return "refused";
    if (kind === "remove") return other < by.role ? "item" : "refused";
    if (by.role !== MemberRole.OWNER) return "refused";
    return other === roles[kind] ? "nothing" : "item";
  }

  /**
   * Takes the next item, a message.
   * @param text what was sent; undefined: it is no text
   * @throws Error where it does not follow
   */
  apply(message: Message, text: string | undefined): void {
    const { channelId, channelSequence, messageId, prevMessageId, messageNumber, body } = message;
    const place = `${channelId} #${channelSequence}`;
    const before = this.messages.at(-1)?.message.messageId ?? 0n;
    if (prevMessageId !== before || messageId <= before) {
      throw new Error(`${place} does not follow the message before it`);
    }
    this.advance(channelSequence, place);
    this.messages.push(new MessageModel(message, text));
    if (text !== undefined) this.texts++;
    if (messageNumber !== this.texts) throw new Error(`${place} is not text ${this.texts}`);
    if (body.case === "membershipChange") this.applyMembership(message, body.value);
    if (body.case === "channelChange") this.applyChange(body.value, channelSequence);
  }

  /** Whether the next item turns the channel LIVE, without being asked for. */
  get turnsLive(): boolean {
    return this.members.size > copyMembersMax && this.liveSince === Number.POSITIVE_INFINITY;
  }

  /** Whether devices of the user need not be told: a LIVE channel's others come and go as a count. */
  isCountOnly({ body, channelSequence }: Message, userId: string): boolean {
    if (channelSequence < this.liveSince || body.case !== "membershipChange") return false;
    const { kind, userIds } = body.value;
    const { ADDED, JOINED, REMOVED, LEFT, BANNED } = ChangeKind;
    return [ADDED, JOINED, REMOVED, LEFT, BANNED].includes(kind) && !userIds.includes(userId);
  }

  /** Takes the next item, a revision. @throws Error where it does not follow */
  revise(userId: string, change: Change, channelSequence: number): void {
    this.advance(channelSequence, `#${channelSequence}`);
    const target = this.messages.find(({ message }) => message.messageId === change.messageId);
    target!.apply(userId, change, channelSequence);
  }

  /** What a user may read now, in order. */
  readableBy(userId: string): MessageModel[] {
    return this.messages.filter(({ message }) => this.maySee(userId, message.channelSequence));
  }

  /** Whether a user may read an item now. */
  maySee(userId: string, channelSequence: number): boolean {
    if (this.settings.seesAll && this.members.has(userId)) return true;
    return this.wasIn(userId, channelSequence);
  }

  /** What was sent while the user was a member: what its devices are told of. */
  ofStays(userId: string): MessageModel[] {
    return this.messages.filter(({ message }) => this.wasIn(userId, message.channelSequence));
  }

  /** Whether an item made the user a member. */
  begins(userId: string, { channelSequence }: Message): boolean {
    return this.stays.get(userId)?.some(({ from }) => from === channelSequence) ?? false;
  }

  /** Whether the user may ever have seen an item: by its stays, or by looking back. */
  mayHaveSeen(userId: string, { channelSequence }: Message): boolean {
    const stays = this.stays.get(userId) ?? [];
    return stays.some(
      ({ from, to }) => channelSequence <= to && (this.hasSeenAll || from <= channelSequence),
    );
  }

  private wasIn(userId: string, channelSequence: number): boolean {
    const stays = this.stays.get(userId) ?? [];
    return stays.some(({ from, to }) => from <= channelSequence && channelSequence <= to);
  }

  private advance(channelSequence: number, place: string): void {
    if (channelSequence !== this.lastSequence + 1) {
      throw new Error(`${place} follows #${this.lastSequence}`);
    }
    this.lastSequence = channelSequence;
  }

  private applyMembership(item: Message, { kind, userIds, role }: MembershipChange): void {
    const isCreation = kind === ChangeKind.CREATED;
    for (const userId of userIds) {
      if (isCreation || kind === ChangeKind.ADDED || kind === ChangeKind.JOINED) {
        const owns = this.settings.isGroup && isCreation && item.senderId === userId;
        this.members.set(userId, owns ? MemberRole.OWNER : MemberRole.MEMBER);
        const stays = this.stays.get(userId) ?? [];
        stays.push({ from: item.channelSequence, to: Number.POSITIVE_INFINITY });
        this.stays.set(userId, stays);
      } else if (kind === ChangeKind.ROLE_CHANGED) {
        this.members.set(userId, role);
      } else if (kind === ChangeKind.UNBANNED) {
        this.bans.delete(userId);
      } else {
        if (kind === ChangeKind.BANNED) this.bans.add(userId);
        if (this.members.delete(userId)) this.stays.get(userId)!.at(-1)!.to = item.channelSequence;
      }
    }
  }

  private applyChange({ change }: ChannelChange, channelSequence: number): void {
    if (change.case === "name") this.settings.name = change.value;
    if (change.case === "mode") this.liveSince = channelSequence;
    if (change.case !== "settings") return;
    this.settings.isPublic = change.value.public;
    this.settings.seesAll = change.value.historyBeforeJoining;
    this.settings.mayAdd = change.value.membersMayAdd;
    this.hasSeenAll ||= this.settings.seesAll;
  }
}

/** Members of a channel that is copied to each of them. */
const copyMembersMax = 100;
const roles = { promote: MemberRole.ADMIN, demote: MemberRole.MEMBER } as const;
