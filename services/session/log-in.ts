import { isLogin, requireName } from "./fields.ts";
import { checkPassword, credentialsWrong } from "./password-check.ts";
import {
  type SessionHandlers,
  type SessionParts,
  toUser,
  type UserRow,
  userColumns,
} from "./session-parts.ts";
import { devicesMax, insertDevice, issueTokens, type NewDevice, newDevice } from "./sign-in.ts";

type AccountRow = UserRow & { password_hash: string };

export function logIn(parts: SessionParts): SessionHandlers["logIn"] {
  return async ({ login, password, deviceName }, context) => {
    requireName("device_name", deviceName);
    if (!isLogin(login)) throw credentialsWrong();

    let account: AccountRow | undefined;
    await checkPassword(parts, login.toLowerCase(), context, async () => {
      account = await findAccount(parts, login);
      return parts.passwords.verify(account?.password_hash, password, context.signal);
    });
    const found = account!;
    const newHash = await parts.passwords.renewed(found.password_hash, password, context.signal);
    const device = newDevice(parts, found.user_id, deviceName);
    const ended = await storeDevice(parts, found, newHash, device);
    if (ended > 0) await parts.revocations.send(found.user_id);
    return {
      user: toUser(found),
      deviceId: device.deviceId,
      tokens: await issueTokens(parts, device),
    };
  };
}

async function findAccount(parts: SessionParts, login: string): Promise<AccountRow | undefined> {
  const column = login.includes("@") ? "email" : "username";
  const [row] = await parts.sql.query<AccountRow>(
    `SELECT ${userColumns}, password_hash FROM users WHERE lower(${column}) = lower($1)`,
    [login],
  );
  return row;
}

/**
 * Stores the device, if the password that was verified is still the account's: locking the row
 * keeps a change of password, which ends all other devices, from missing this one.
 * @returns how many devices had to end for it.
 */
function storeDevice(
  parts: SessionParts,
  account: AccountRow,
  newHash: string | undefined,
  device: NewDevice,
): Promise<number> {
  const { user_id: userId, password_hash: hash } = account;
  return parts.sql.transaction(async (transaction) => {
    const unchanged = newHash
      ? await transaction.query(
          "UPDATE users SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2 RETURNING 1",
          [userId, hash, newHash],
        )
      : await transaction.query(
          "SELECT 1 FROM users WHERE user_id = $1 AND password_hash = $2 FOR NO KEY UPDATE",
          [userId, hash],
        );
    if (unchanged.length === 0) throw credentialsWrong();
    const ended = await parts.revocations.endDevices(
      transaction,
      `device_id IN (SELECT device_id FROM devices WHERE user_id = $2
        ORDER BY create_time DESC, device_id OFFSET ${devicesMax - 1})`,
      [userId],
    );
    await transaction.query(insertDevice, device.params);
    return ended;
  });
}
