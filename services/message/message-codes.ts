import { Code, DomainError, unavailable } from "../../mesh/errors.ts";
import {
  AppendOutcomeUnknown,
  StreamFull,
  StreamUnavailable,
  WrongLastSequence,
} from "../../mesh/streams.ts";
import { StoreUnavailable } from "./store/message-store.ts";

/** The reasons of Message's own and their codes. */
export const messageCodes = {
  TEXT_EMPTY: Code.INVALID_ARGUMENT,
  TEXT_TOO_LONG: Code.INVALID_ARGUMENT,
  CLIENT_MESSAGE_ID_INVALID: Code.INVALID_ARGUMENT,
  CLIENT_MESSAGE_ID_REUSED: Code.ALREADY_EXISTS,
  NOT_A_MEMBER: Code.PERMISSION_DENIED,
  CHANNEL_DELETED: Code.PERMISSION_DENIED,
  NOT_PUBLIC: Code.PERMISSION_DENIED,
  INVITE_LINK_INVALID: Code.PERMISSION_DENIED,
  BANNED: Code.PERMISSION_DENIED,
  BLOCKED: Code.PERMISSION_DENIED,
  NOT_IN_AUDIENCE: Code.PERMISSION_DENIED,
  ROLE_INSUFFICIENT: Code.PERMISSION_DENIED,
  NOT_THE_SENDER: Code.PERMISSION_DENIED,
  NOT_A_TEXT: Code.FAILED_PRECONDITION,
  MESSAGE_DELETED: Code.FAILED_PRECONDITION,
  MESSAGE_NOT_FOUND: Code.NOT_FOUND,
  REACTIONS_FULL: Code.RESOURCE_EXHAUSTED,
  NOT_A_GROUP: Code.FAILED_PRECONDITION,
  USER_BANNED: Code.FAILED_PRECONDITION,
  MEMBER_NOT_FOUND: Code.NOT_FOUND,
  USER_NOT_FOUND: Code.NOT_FOUND,
  GROUP_FULL: Code.RESOURCE_EXHAUSTED,
  ADMINS_FULL: Code.RESOURCE_EXHAUSTED,
  BANS_FULL: Code.RESOURCE_EXHAUSTED,
  INVITE_LINKS_FULL: Code.RESOURCE_EXHAUSTED,
  LOG_FULL: Code.RESOURCE_EXHAUSTED,
  REPLACED: Code.ABORTED,
  SLOW_CONSUMER: Code.RESOURCE_EXHAUSTED,
} as const satisfies Record<string, Code>;

/** Why Message refuses something. */
export type MessageReason = keyof typeof messageCodes;

/** Refuses with one of Message's own reasons. */
export function refuse(reason: MessageReason, message: string): DomainError<MessageReason> {
  return new DomainError(reason, message);
}

/** Who is no member learns nothing else, not even whether the channel exists. */
export function notAMember(channelId: string): DomainError<MessageReason> {
  return refuse("NOT_A_MEMBER", `not a member of ${channelId}`);
}

/** Nothing of the group can be read or changed any more. */
export function channelDeleted(channelId: string): DomainError<MessageReason> {
  return refuse("CHANNEL_DELETED", `${channelId} was deleted`);
}

const awayErrors = [StreamUnavailable, StoreUnavailable, AppendOutcomeUnknown, WrongLastSequence];

/** The workers have to make room, which takes longer than a moment. */
const logFullRetryMs = 5_000;

/**
 * UNAVAILABLE where the log or the store is away, LOG_FULL where the log takes no more; anything
 * else, a fault of ours, as it is.
 */
export function asUnavailable(thrown: unknown): Error {
  if (thrown instanceof StreamFull) {
    const text = "the log is full of what the workers have yet to carry on, and takes no more";
    return new DomainError("LOG_FULL", text, { retryAfterMs: logFullRetryMs }, thrown);
  }
  if (awayErrors.some((kind) => thrown instanceof kind)) {
    return unavailable("this can't be read or written now", 500, thrown);
  }
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** Waits for what the log or the store answers. @throws DomainError UNAVAILABLE if it is away */
export async function orUnavailable<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (thrown) {
    throw asUnavailable(thrown);
  }
}
