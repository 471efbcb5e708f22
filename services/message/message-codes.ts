import { Code, DomainError } from "../../mesh/errors.ts";

/** The reasons of Message's own and their codes. */
export const messageCodes = {
  TEXT_EMPTY: Code.INVALID_ARGUMENT,
  TEXT_TOO_LONG: Code.INVALID_ARGUMENT,
  CLIENT_MESSAGE_ID_INVALID: Code.INVALID_ARGUMENT,
  CLIENT_MESSAGE_ID_REUSED: Code.ALREADY_EXISTS,
  NOT_A_MEMBER: Code.PERMISSION_DENIED,
  NOT_PUBLIC: Code.PERMISSION_DENIED,
  ROLE_INSUFFICIENT: Code.PERMISSION_DENIED,
  NOT_A_GROUP: Code.FAILED_PRECONDITION,
  MEMBER_NOT_FOUND: Code.NOT_FOUND,
  USER_NOT_FOUND: Code.NOT_FOUND,
  GROUP_FULL: Code.RESOURCE_EXHAUSTED,
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
