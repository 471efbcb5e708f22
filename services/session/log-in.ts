import { clientNetwork } from "../../mesh/client-network.ts";
import { isLogin, requireName, requireRegion } from "./fields.ts";
import {
  checkPassword,
  credentialsWrong,
  type PasswordRow,
  passwordColumns,
} from "./password-check.ts";
import {
  type SessionHandlers,
  type SessionParts,
  toUser,
  type UserRow,
  userColumns,
} from "./session-parts.ts";
import { devicesMax, insertDevice, issueTokens, type NewDevice, newDevice } from "./sign-in.ts";

type AccountRow = UserRow & PasswordRow;

/** A new device each time: a client that lost the answer leaves one behind, until it expires. */
export function logIn(parts: SessionParts): SessionHandlers["logIn"] {
  return async ({ login, password, deviceName, region }, context) => {
    requireName("device_name", deviceName);
    requireRegion("region", region);
    if (!isLogin(login)) throw credentialsWrong();

    const network = clientNetwork(context.clientAddress);
    const account = await checkPassword(parts, login.toLowerCase(), password, context, () =>
      findAccount(parts, login, network),
    );
    const { signal } = context;
    const newHash = await parts.passwords.renewed(account.password_hash, password, signal);
    const device = newDevice(parts, account.user_id, deviceName, network);
    const ended = await storeDevice(parts, account.password_version, newHash, device);
    if (ended > 0) await parts.revocations.send(account.user_id);
    return {
      user: toUser(account),
      deviceId: device.deviceId,
      tokens: await issueTokens(parts, device),
      edges: parts.edges.choose({ region }),
    };
  };
}

async function findAccount(
  parts: SessionParts,
  login: string,
  network: string,
): Promise<AccountRow | undefined> {
  const column = login.includes("@") ? "email" : "username";
  const [row] = await parts.sql.query<AccountRow>(
    `SELECT ${userColumns}, ${passwordColumns("$2")} FROM users WHERE lower(${column}) = lower($1)`,
    [login, network],
  );
  return row;
}

/**
 * Stores the device, if the password has not changed since it was verified: locking the row
 * keeps a change of password, which ends all other devices, from missing this one.
 * @returns how many devices had to end for it.
 */
function storeDevice(
  parts: SessionParts,
  version: number,
  newHash: string | undefined,
  device: NewDevice,
): Promise<number> {
  const { userId } = device;
  return parts.sql.transaction(async (transaction) => {
    const unchanged = newHash
      ? await transaction.query(
          "UPDATE users SET password_hash = $3 WHERE user_id = $1 AND password_version = $2 RETURNING 1",
          [userId, version, newHash],
        )
      : await transaction.query(
          "SELECT 1 FROM users WHERE user_id = $1 AND password_version = $2 FOR NO KEY UPDATE",
          [userId, version],
        );
    if (unchanged.length === 0) throw credentialsWrong();
    const [stored] = await transaction.query<{ others: number }>(
      `${insertDevice} RETURNING (SELECT count(*)::int FROM devices WHERE user_id = $1) AS others`,
      device.params,
    );
    if (stored!.others < devicesMax) return 0;
    return parts.revocations.endDevices(
      transaction,
      `device_id IN (SELECT device_id FROM devices WHERE user_id = $2 AND device_id <> $3
        ORDER BY create_time DESC, device_id OFFSET ${devicesMax - 1})`,
      [userId, device.deviceId],
    );
  });
}
