import type { MessageInitShape } from "@bufbuild/protobuf";
import type { UserSchema } from "../../gen/parley/session/v1/session_pb.js";
import type { SessionService } from "../../gen/parley/session/v1/session_service_pb.js";
import type { Clock } from "../../mesh/clock.ts";
import { DomainError } from "../../mesh/errors.ts";
import type { CallContext, Handlers, Identity } from "../../mesh/rpc.ts";
import type { Sql } from "../../mesh/sql.ts";
import type { Streams } from "../../mesh/streams.ts";
import type { Allowance } from "./allowance.ts";
import type { AssignableEdges } from "./assignable-edges.ts";
import type { Passwords } from "./passwords.ts";
import type { Revocations } from "./revocations.ts";
import type { SessionConfig } from "./session-config.ts";
import type { SigningKeys } from "./signing-keys.ts";

/** What the methods share. */
export interface SessionParts {
  sql: Sql;
  clock: Clock;
  config: SessionConfig;
  passwords: Passwords;
  signingKeys: SigningKeys;
  revocations: Revocations;
  /** Tells whoever keeps something of an account for a while that it has changed. */
  streams: Pick<Streams, "publishAccount">;
  edges: Pick<AssignableEdges, "choose">;
  /** Makes an account leave its groups; see leave-groups.ts. @throws RpcError */
  leaveGroups(identity: Identity): Promise<void>;
  allowances: {
    /** By client address. */
    signUps: Allowance;
    /** By client address. */
    assignments: Allowance;
    /** The account is what was given as one: a login in lower case, or the caller's user id. */
    wrongPasswords: {
      /** By client address. */
      ofAddress: Allowance;
      /** By client address and account. */
      ofAddressForAccount: Allowance;
      /** By account, from all addresses… */
      ofAccount: Allowance;
      /** …but those where the account has a device. */
      ofAccountAtHome: Allowance;
    };
  };
}

/** Every method of the service. */
export type SessionHandlers = Handlers<typeof SessionService>;

/** A user's row, as far as anybody may see it. */
export interface UserRow {
  user_id: string;
  username: string;
  display_name: string;
}

/** The columns of {@link UserRow}. */
export const userColumns = "user_id, username, display_name";

/** A row as the contract's User. */
export function toUser(row: UserRow): MessageInitShape<typeof UserSchema> {
  return { userId: row.user_id, username: row.username, displayName: row.display_name };
}

/** Who calls. @throws DomainError TOKEN_MISSING */
export function callerOf(context: CallContext): Identity {
  if (context.identity) return context.identity;
  throw new DomainError("TOKEN_MISSING", "this method is a signed-in device's");
}

/** The caller's row is gone: its account was deleted a moment ago. */
export function callerGone(): DomainError {
  return new DomainError("TOKEN_REVOKED", "the account has been deleted");
}
