import type { CallContext } from "../../mesh/rpc.ts";
import { sessionError } from "./session-errors.ts";
import type { SessionParts } from "./session-parts.ts";

/**
 * Lets an account's password be checked, as long as neither the account nor the client's address
 * has given too many wrong ones. Right ones, and checks that came to nothing, don't count.
 *
 * @param account the account as the caller named it.
 * @param isRight compares; called only within the allowance, before anything costs.
 * @throws DomainError CREDENTIALS_WRONG, TOO_MANY_ATTEMPTS, and what `isRight` throws.
 */
export async function checkPassword(
  parts: SessionParts,
  account: string,
  context: CallContext,
  isRight: () => Promise<boolean>,
): Promise<void> {
  const { wrongPasswordsOfAddress: ofAddress, wrongPasswordsOfAccount: ofAccount } =
    parts.allowances;
  ofAddress.take(context.clientAddress);
  ofAccount.take(account);
  let wrong = false;
  try {
    wrong = !(await isRight());
  } finally {
    if (!wrong) {
      ofAddress.giveBack(context.clientAddress);
      ofAccount.giveBack(account);
    }
  }
  if (wrong) throw credentialsWrong();
}

/** The one answer to an unknown name and to a wrong password. */
export function credentialsWrong(): Error {
  return sessionError("CREDENTIALS_WRONG", "unknown name or wrong password");
}
