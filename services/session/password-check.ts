import { clientNetwork } from "../../mesh/client-network.ts";
import type { CallContext } from "../../mesh/rpc.ts";
import { sessionError } from "./session-errors.ts";
import { callerGone, type SessionParts } from "./session-parts.ts";

/** What a password is checked by. The version counts changes of the password. */
export interface PasswordRow {
  password_hash: string;
  password_version: number;
}

/** The columns of {@link PasswordRow}. */
export const passwordColumns = "password_hash, password_version";

/**
 * Checks an account's password, as long as neither the account nor the client's address has given
 * too many wrong ones. Right ones, and checks that came to nothing, don't count.
 *
 * @param name the account as the caller named it: what its wrong passwords are counted by.
 * @param find reads the account; called only within the allowance. Undefined: there is none,
 * which takes as long as a wrong password.
 * @returns the account.
 * @throws DomainError CREDENTIALS_WRONG, TOO_MANY_ATTEMPTS, OVERLOADED, and what `find` throws.
 */
export async function checkPassword<Account extends PasswordRow>(
  parts: SessionParts,
  name: string,
  password: string,
  context: CallContext,
  find: () => Promise<Account | undefined>,
): Promise<Account> {
  const { clientAddress, signal } = context;
  const { wrongPasswordsOfAddress, wrongPasswordsOfAccount } = parts.allowances;
  const network = clientNetwork(clientAddress);
  wrongPasswordsOfAddress.take(network);
  wrongPasswordsOfAccount.take(name);
  let wrong = false;
  try {
    const account = await find();
    wrong = !(await parts.passwords.verify(account?.password_hash, password, signal));
    if (wrong) throw credentialsWrong();
    return account!;
  } finally {
    if (!wrong) {
      wrongPasswordsOfAddress.giveBack(network);
      wrongPasswordsOfAccount.giveBack(name);
    }
  }
}

/**
 * Checks the password of the account that calls.
 * @returns the password's version.
 * @throws DomainError TOKEN_REVOKED where the account is gone, and as {@link checkPassword}.
 */
export async function checkOwnPassword(
  parts: SessionParts,
  userId: string,
  password: string,
  context: CallContext,
): Promise<number> {
  const account = await checkPassword(parts, userId, password, context, async () => {
    const [row] = await parts.sql.query<PasswordRow>(
      `SELECT ${passwordColumns} FROM users WHERE user_id = $1`,
      [userId],
    );
    if (!row) throw callerGone();
    return row;
  });
  return account.password_version;
}

/** The one answer to an unknown name and to a wrong password. */
export function credentialsWrong(): Error {
  return sessionError("CREDENTIALS_WRONG", "unknown name or wrong password");
}
