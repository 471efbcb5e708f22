import { checkOwnPassword, credentialsWrong } from "./password-check.ts";
import { callerOf, type SessionHandlers, type SessionParts } from "./session-parts.ts";

/**
 * The account leaves its groups first, as nobody could ask for it afterwards. Devices, friends and
 * blocks go with the row; one revocation covers all devices.
 */
export function deleteAccount(parts: SessionParts): SessionHandlers["deleteAccount"] {
  return async ({ password }, context) => {
    const caller = callerOf(context);
    const { userId } = caller;
    const version = await checkOwnPassword(parts, userId, password, context);
    await parts.leaveGroups(caller);
    if (!(await parts.revocations.endAccount(userId, version))) throw credentialsWrong();
    parts.streams.publishAccount(userId);
    await parts.revocations.send(userId);
    return {};
  };
}
