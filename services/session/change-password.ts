import { requirePassword } from "./fields.ts";
import { checkOwnPassword, credentialsWrong } from "./password-check.ts";
import { callerOf, type SessionHandlers, type SessionParts } from "./session-parts.ts";

/** Of several changes at once one counts; the others' old password is wrong by then. */
export function changePassword(parts: SessionParts): SessionHandlers["changePassword"] {
  return async ({ oldPassword, newPassword }, context) => {
    const { userId, deviceId } = callerOf(context);
    requirePassword("new_password", newPassword);
    const version = await checkOwnPassword(parts, userId, oldPassword, context);
    const newHash = await parts.passwords.hash(newPassword, context.signal);
    await parts.sql.transaction(async (transaction) => {
      const changed = await transaction.query(
        `UPDATE users SET password_hash = $3, password_version = password_version + 1
        WHERE user_id = $1 AND password_version = $2 RETURNING 1`,
        [userId, version, newHash],
      );
      if (changed.length === 0) throw credentialsWrong();
      const others = "user_id = $2 AND device_id <> $3";
      await parts.revocations.endDevices(transaction, others, [userId, deviceId]);
    });
    await parts.revocations.send(userId);
    return {};
  };
}
