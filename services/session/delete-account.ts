import { checkOwnPassword, credentialsWrong } from "./password-check.ts";
import { callerOf, type SessionHandlers, type SessionParts } from "./session-parts.ts";

/** Devices, friends and blocks go with the row; one revocation covers all devices. */
export function deleteAccount(parts: SessionParts): SessionHandlers["deleteAccount"] {
  return async ({ password }, context) => {
    const { userId } = callerOf(context);
    const version = await checkOwnPassword(parts, userId, password, context);
    if (!(await parts.revocations.endAccount(userId, version))) throw credentialsWrong();
    parts.streams.publishAccount(userId);
    await parts.revocations.send(userId);
    return {};
  };
}
