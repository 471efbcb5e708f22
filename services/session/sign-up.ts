import { clientNetwork } from "../../mesh/client-network.ts";
import { UniqueViolation } from "../../mesh/sql.ts";
import {
  requireDisplayName,
  requireEmail,
  requireName,
  requirePassword,
  requireRegion,
  requireUsername,
} from "./fields.ts";
import { randomId } from "./ids.ts";
import { sessionError } from "./session-errors.ts";
import type { SessionHandlers, SessionParts } from "./session-parts.ts";
import { insertDevice, issueTokens, newDevice } from "./sign-in.ts";

/** Account and device in one statement: both are there or neither. */
const insertAccount = `
  WITH account AS (
    INSERT INTO users (user_id, create_time, username, display_name, email, password_hash)
    VALUES ($1, $4, $9, $10, $11, $12)
  )
  ${insertDevice}
`;

/** The database decides who gets a name; a taken one costs its hash all the same. */
export function signUp(parts: SessionParts): SessionHandlers["signUp"] {
  return async (request, context) => {
    const username = requireUsername("username", request.username);
    const password = requirePassword("password", request.password);
    const displayName = requireDisplayName("display_name", request.displayName || username);
    const email = requireEmail("email", request.email);
    const deviceName = requireName("device_name", request.deviceName);
    const region = requireRegion("region", request.region);

    const network = clientNetwork(context.clientAddress);
    parts.allowances.signUps.take(network);
    const passwordHash = await parts.passwords.hash(password, context.signal);
    const device = newDevice(parts, randomId(), deviceName, network);
    try {
      const account = [username, displayName, email, passwordHash];
      await parts.sql.query(insertAccount, [...device.params, ...account]);
    } catch (error) {
      throw takenOr(error, username, email);
    }
    return {
      user: { userId: device.userId, username, displayName },
      deviceId: device.deviceId,
      tokens: await issueTokens(parts, device),
      edges: parts.edges.choose({ region }),
    };
  };
}

/** USERNAME_TAKEN or EMAIL_TAKEN, where the database refused a second one; else the error. */
export function takenOr(error: unknown, username: string, email: string | null): unknown {
  if (!(error instanceof UniqueViolation)) return error;
  switch (error.constraint) {
    case "users_username_key":
      return sessionError("USERNAME_TAKEN", `the user name ${username} is taken`);
    case "users_email_key":
      return sessionError("EMAIL_TAKEN", `the address ${email} has an account`);
    default:
      return error;
  }
}
