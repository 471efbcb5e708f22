import { Code, DomainError, type ErrorDetails } from "../../mesh/errors.ts";

/** Why Session refuses, besides the reasons that any part may give. */
export type SessionReason =
  | "BLOCKED"
  | "CREDENTIALS_WRONG"
  | "DEVICE_NOT_FOUND"
  | "EMAIL_TAKEN"
  | "FRIEND_REQUEST_NOT_FOUND"
  | "NOT_IN_AUDIENCE"
  | "REFRESH_TOKEN_EXPIRED"
  | "REFRESH_TOKEN_INVALID"
  | "REFRESH_TOKEN_REUSED"
  | "TOO_MANY_ATTEMPTS"
  | "TOO_MANY_BLOCKS"
  | "TOO_MANY_FRIENDS"
  | "TOO_MANY_MUTES"
  | "USERNAME_TAKEN"
  | "USER_NOT_FOUND";

/** The code of each reason. */
export const sessionCodes = {
  BLOCKED: Code.PERMISSION_DENIED,
  CREDENTIALS_WRONG: Code.UNAUTHENTICATED,
  DEVICE_NOT_FOUND: Code.NOT_FOUND,
  EMAIL_TAKEN: Code.ALREADY_EXISTS,
  FRIEND_REQUEST_NOT_FOUND: Code.NOT_FOUND,
  NOT_IN_AUDIENCE: Code.PERMISSION_DENIED,
  REFRESH_TOKEN_EXPIRED: Code.UNAUTHENTICATED,
  REFRESH_TOKEN_INVALID: Code.UNAUTHENTICATED,
  REFRESH_TOKEN_REUSED: Code.UNAUTHENTICATED,
  TOO_MANY_ATTEMPTS: Code.RESOURCE_EXHAUSTED,
  TOO_MANY_BLOCKS: Code.RESOURCE_EXHAUSTED,
  TOO_MANY_FRIENDS: Code.RESOURCE_EXHAUSTED,
  TOO_MANY_MUTES: Code.RESOURCE_EXHAUSTED,
  USERNAME_TAKEN: Code.ALREADY_EXISTS,
  USER_NOT_FOUND: Code.NOT_FOUND,
} as const satisfies Record<SessionReason, Code>;

/** An error of Session's own. */
export function sessionError(
  reason: SessionReason,
  message: string,
  details: ErrorDetails = {},
): DomainError<SessionReason> {
  return new DomainError(reason, message, details);
}
