/** Whether users let somebody message or add them, which Session is asked whenever it matters. */
import {
  type Contact,
  type CheckContactsRequest_Kind as Kind,
  Contact_Verdict as Verdict,
} from "../../../gen/parley/session/v1/session_service_pb.js";
import { Code, type DomainError, RpcError, unavailable } from "../../../mesh/errors.ts";
import { refuse } from "../message-codes.ts";

/** Asks Session; answers those of the others that exist. @throws RpcError */
export type CheckContacts = (
  userId: string,
  kind: Kind,
  otherIds: readonly string[],
) => Promise<readonly Pick<Contact, "userId" | "verdict">[]>;

/**
 * Why a user may not message or add others: BLOCKED, NOT_IN_AUDIENCE, USER_NOT_FOUND; UNAVAILABLE
 * where Session can't be asked. Undefined: it may.
 */
export async function refusalOf(
  checkContacts: CheckContacts,
  userId: string,
  kind: Kind,
  otherIds: readonly string[],
): Promise<DomainError | undefined> {
  if (otherIds.length === 0) return undefined;
  let verdicts: ReadonlyMap<string, Verdict>;
  try {
    const contacts = await checkContacts(userId, kind, otherIds);
    verdicts = new Map(contacts.map((contact) => [contact.userId, contact.verdict]));
  } catch (thrown) {
    // Among the ids that Message takes are some that Session gives to nobody.
    if (thrown instanceof RpcError && thrown.code === Code.INVALID_ARGUMENT) {
      return refuse("USER_NOT_FOUND", `a user does not exist: ${thrown.message}`);
    }
    if (!isAway(thrown)) throw thrown;
    return unavailable("whether the users may be contacted can't be asked now", 500, thrown);
  }
  for (const otherId of otherIds) {
    const verdict = verdicts.get(otherId);
    if (verdict === undefined) return refuse("USER_NOT_FOUND", `user ${otherId} does not exist`);
    if (verdict === Verdict.BLOCKED) {
      return refuse("BLOCKED", `${otherId} has blocked ${userId}`);
    }
    if (verdict !== Verdict.ALLOWED) {
      return refuse("NOT_IN_AUDIENCE", `${otherId} does not want this of ${userId}`);
    }
  }
  return undefined;
}

function isAway(thrown: unknown): boolean {
  if (!(thrown instanceof RpcError)) return false;
  return thrown.code === Code.UNAVAILABLE || thrown.code === Code.DEADLINE_EXCEEDED;
}
