/**
 * Errors of the domain, and how they cross a process. Code throws {@link DomainError} with a
 * reason; the service's table maps the reason to a gRPC code; callers see {@link RpcError}.
 * Anything else that is thrown becomes INTERNAL without a word of its cause.
 */

/** gRPC status codes: https://grpc.io/docs/guides/status-codes/ */
export const Code = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

/** Reasons that any part may give, with their codes. */
export const commonCodes = {
  FIELD_INVALID: Code.INVALID_ARGUMENT,
  TOKEN_MISSING: Code.UNAUTHENTICATED,
  TOKEN_INVALID: Code.UNAUTHENTICATED,
  TOKEN_EXPIRED: Code.UNAUTHENTICATED,
  TOKEN_REVOKED: Code.UNAUTHENTICATED,
  METHOD_INTERNAL: Code.PERMISSION_DENIED,
  METHOD_NOT_PUBLIC: Code.UNIMPLEMENTED,
  METHOD_UNKNOWN: Code.UNIMPLEMENTED,
  OVERLOADED: Code.RESOURCE_EXHAUSTED,
  DEADLINE_EXCEEDED: Code.DEADLINE_EXCEEDED,
  UNAVAILABLE: Code.UNAVAILABLE,
  INTERNAL: Code.INTERNAL,
} as const satisfies Record<string, Code>;

/** A reason that any part may give. */
export type CommonReason = keyof typeof commonCodes;

/** Maps each of a service's own reasons to its code. */
export type CodeTable = Readonly<Record<string, Code>>;

/** One bad field: its path as in the contract, and what is wrong, with value and limit. */
export interface FieldViolation {
  field: string;
  description: string;
}

/** What an error says besides its reason and message. */
export interface ErrorDetails {
  fieldViolations?: readonly FieldViolation[];
  /** Trying again makes sense after this time. */
  retryAfterMs?: number;
}

/** A rule of the domain was broken, or something it needs is away. The message is for callers. */
export class DomainError<Reason extends string = string> extends Error {
  override readonly name = "DomainError";
  readonly reason: Reason;
  readonly details: ErrorDetails;

  constructor(reason: Reason, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
    this.details = details;
  }
}

/** A call over the mesh failed: what the other side said, or what became of the way there. */
export class RpcError extends Error {
  override readonly name = "RpcError";
  readonly code: Code;
  readonly reason: string;
  readonly details: ErrorDetails;

  constructor(code: Code, reason: string, message: string, details: ErrorDetails = {}) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.details = details;
  }
}

/** FIELD_INVALID for one field. The description names the value and the limit. */
export function fieldInvalid(field: string, description: string): DomainError<"FIELD_INVALID"> {
  return new DomainError("FIELD_INVALID", `${field}: ${description}`, {
    fieldViolations: [{ field, description }],
  });
}

/** After which a caller may try again where nobody knows better. */
export const retryAfterMsDefault = 500;

/** What is needed is away for now; the caller may try again after `retryAfterMs`. */
export function unavailable(
  message: string,
  retryAfterMs = retryAfterMsDefault,
  cause?: unknown,
): DomainError {
  return new DomainError("UNAVAILABLE", message, { retryAfterMs }, cause);
}

/**
 * What a caller is told of anything that was thrown: the error itself where it was meant for
 * callers, else INTERNAL. A dependency's UNAVAILABLE or DEADLINE_EXCEEDED stays one; its other
 * codes are this service's fault, not the caller's.
 */
export function toRpcError(thrown: unknown, codes: CodeTable = {}): RpcError {
  if (thrown instanceof DomainError) {
    const code = codes[thrown.reason] ?? commonCodes[thrown.reason as CommonReason];
    if (code !== undefined) {
      return new RpcError(code, thrown.reason, thrown.message, thrown.details);
    }
  }
  if (thrown instanceof RpcError) {
    if (thrown.code === Code.UNAVAILABLE || thrown.code === Code.DEADLINE_EXCEEDED) return thrown;
    if (thrown.code === Code.RESOURCE_EXHAUSTED) return thrown;
  }
  return new RpcError(Code.INTERNAL, "INTERNAL", "internal error");
}
