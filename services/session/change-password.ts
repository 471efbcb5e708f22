import { requirePassword } from "./fields.ts";
import { checkPassword, credentialsWrong } from "./password-check.ts";
import { callerGone, callerOf, type SessionHandlers, type SessionParts } from "./session-parts.ts";

/** ChangePassword and DeleteAccount, which ask for the password once more. */
export function passwordHandlers(
  parts: SessionParts,
): Pick<SessionHandlers, "changePassword" | "deleteAccount"> {
  /** Checks the caller's password and answers its stored hash. */
  async function requireOwn(
    userId: string,
    password: string,
    context: Parameters<SessionHandlers["changePassword"]>[1],
  ): Promise<string> {
    let stored: string | undefined;
    await checkPassword(parts, userId, context, async () => {
      const [row] = await parts.sql.query<{ password_hash: string }>(
        "SELECT password_hash FROM users WHERE user_id = $1",
        [userId],
      );
      if (!row) throw callerGone();
      stored = row.password_hash;
      return parts.passwords.verify(stored, password, context.signal);
    });
    return stored!;
  }

  return {
    async changePassword({ oldPassword, newPassword }, context) {
      const { userId, deviceId } = callerOf(context);
      requirePassword("new_password", newPassword);
      const oldHash = await requireOwn(userId, oldPassword, context);
      const newHash = await parts.passwords.hash(newPassword, context.signal);
      await parts.sql.transaction(async (transaction) => {
        const changed = await transaction.query(
          "UPDATE users SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2 RETURNING 1",
          [userId, oldHash, newHash],
        );
        if (changed.length === 0) throw credentialsWrong();
        await parts.revocations.endDevices(transaction, "user_id = $2 AND device_id <> $3", [
          userId,
          deviceId,
        ]);
      });
      await parts.revocations.send(userId);
      return {};
    },

    async deleteAccount({ password }, context) {
      const { userId } = callerOf(context);
      const hash = await requireOwn(userId, password, context);
      const deleted = await parts.sql.query(
        `WITH deleted AS (
          DELETE FROM users WHERE user_id = $1 AND password_hash = $2 RETURNING user_id
        )
        INSERT INTO unsent_revocations (user_id, device_id, issued_before)
        SELECT user_id, '', $3 FROM deleted RETURNING user_id`,
        [userId, hash, parts.revocations.issuedBefore()],
      );
      if (deleted.length === 0) throw credentialsWrong();
      await parts.revocations.send(userId);
      return {};
    },
  };
}
