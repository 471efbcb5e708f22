/** What methods do with one channel on behalf of a caller: change it, or look at it. */
import { clone } from "@bufbuild/protobuf";
import { type Channel, ChannelSchema } from "../../../gen/parley/message/v1/message_pb.js";
import type { CheckContactsRequest_Kind as Kind } from "../../../gen/parley/session/v1/session_service_pb.js";
import type { Clock } from "../../../mesh/clock.ts";
import type { DomainError } from "../../../mesh/errors.ts";
import type { CallContext } from "../../../mesh/rpc.ts";
import type { Decide } from "../channel/changes.ts";
import type { Outcome } from "../channel/channel-change.ts";
import type { ChannelState } from "../channel/channel-state.ts";
import type { Channels } from "../channel/channels.ts";
import { mentionableNames } from "../channel/mentions.ts";
import { authorise, type Operation } from "../channel/permissions.ts";
import { checkChannelId, checkClientMessageId, requireIdentity } from "../request-fields.ts";
import { type CheckContacts, refusalOf } from "./contacts.ts";

/** What calls work on. */
export interface ChannelCallDependencies {
  channels: Channels;
  clock: Clock;
  /** Whether users let a caller message or add them. */
  checkContacts: CheckContacts;
}

/** A change that a call asks for. */
export interface WantedChange {
  channelId: string;
  /** Unset only where the change is recognised by its effect. */
  clientMessageId?: string;
  decide: Decide;
  /** Users that it names. */
  userIds?: readonly string[];
  /** See Change.targetId. */
  targetId?: bigint;
  /** Its text, if it has one. */
  text?: string;
}

/** About what a change takes in an entry, and with each user that it names. */
const changeBytes = 300;
const memberBytes = 40;

/** Calls to channels. */
export class ChannelCalls {
  private readonly deps: ChannelCallDependencies;

  constructor(deps: ChannelCallDependencies) {
    this.deps = deps;
  }

  /** Makes a change. @throws DomainError */
  change(wanted: WantedChange, context: CallContext): Promise<Outcome> {
    const { channelId, clientMessageId, decide, userIds = [], targetId = 0n, text = "" } = wanted;
    checkChannelId(channelId);
    const hasId = clientMessageId !== undefined;
    return this.deps.channels.change(channelId, {
      senderId: requireIdentity(context).userId,
      clientMessageId: hasId ? clientMessageId : "",
      clientTimeMs: hasId ? checkClientMessageId(clientMessageId, this.deps.clock.nowMs()) : 0,
      replyToMessageId: 0n,
      traceParent: context.traceParent,
      userIds,
      targetId,
      names: mentionableNames(text),
      bytes: changeBytes + userIds.length * memberBytes + text.length * 3,
      deadlineMs: context.deadlineMs,
      decide,
    });
  }

  /** Makes a change and answers with the channel as it is then. @throws DomainError */
  async changed(wanted: WantedChange, context: CallContext): Promise<Channel> {
    const { state } = await this.change(wanted, context);
    return clone(ChannelSchema, state.channel);
  }

  /** Looks at a channel, as of now, if the caller may. @throws DomainError */
  async look<T>(
    operation: Operation,
    channelId: string,
    context: CallContext,
    take: (state: ChannelState) => T,
  ): Promise<T> {
    const { userId } = requireIdentity(context);
    checkChannelId(channelId);
    const { state } = await this.deps.channels.read(channelId, userId);
    return take(authorise(operation, state, channelId, userId));
  }

  /** @throws DomainError BLOCKED, NOT_IN_AUDIENCE, USER_NOT_FOUND, UNAVAILABLE */
  async requireContacts(
    kind: Kind,
    userIds: readonly string[],
    context: CallContext,
  ): Promise<void> {
    const refusal = await this.refusal(kind, userIds, context);
    if (refusal) throw refusal;
  }

  /** Why the caller may not message or add these users, or it can't be told; undefined: it may. */
  refusal(
    kind: Kind,
    userIds: readonly string[],
    context: CallContext,
  ): Promise<DomainError | undefined> {
    return refusalOf(this.deps.checkContacts, requireIdentity(context).userId, kind, userIds);
  }
}
