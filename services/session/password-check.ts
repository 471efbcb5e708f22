import { clientNetwork } from "../../mesh/client-network.ts";
import type { CallContext } from "../../mesh/rpc.ts";
import type { Allowance } from "./allowance.ts";
import { sessionError } from "./session-errors.ts";
import { callerGone, type SessionParts } from "./session-parts.ts";

/** What a password is checked by. The version counts changes of the password. */
export interface PasswordRow {
  password_hash: string;
  password_version: number;
  /** Whether a device of the account is signed in from the client's network. */
  is_at_home: boolean;
}

/** The columns of {@link PasswordRow}. @param network the parameter that is the client's network */
export function passwordColumns(network: string): string {
  return `password_hash, password_version, ${network} <> '' AND EXISTS (SELECT 1 FROM devices
    WHERE devices.user_id = users.user_id AND network = ${network}) AS is_at_home`;
}

/**
 * Checks an account's password, as long as not too many wrong ones have been given: from the
 * client's network, from there for this account, and for this account from anywhere. Right ones,
 * and checks that came to nothing, don't count.
 *
 * Networks where the account has a device share an allowance of their own, so that strangers, from
 * however many networks they guess, don't keep its owner out.
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
  const { ofAddress, ofAddressForAccount, ofAccount, ofAccountAtHome } =
    parts.allowances.wrongPasswords;
  const network = clientNetwork(clientAddress);
  const taken: [Allowance, string][] = [];
  const take = (allowance: Allowance, key: string): void => {
    allowance.take(key);
    taken.push([allowance, key]);
  };
  let wrong = false;
  try {
    take(ofAddress, network);
    take(ofAddressForAccount, network && `${network} ${name}`);
    const account = await find();
    take(account?.is_at_home ? ofAccountAtHome : ofAccount, name);
    wrong = !(await parts.passwords.verify(account?.password_hash, password, signal));
    if (wrong) throw credentialsWrong();
    return account!;
  } finally {
    if (!wrong) for (const [allowance, key] of taken) allowance.giveBack(key);
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
      `SELECT ${passwordColumns("$2")} FROM users WHERE user_id = $1`,
      [userId, clientNetwork(context.clientAddress)],
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
