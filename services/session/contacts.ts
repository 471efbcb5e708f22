import { Audience, FriendState } from "../../gen/parley/session/v1/session_pb.js";
import {
  CheckContactsRequest_Kind as Kind,
  Contact_Verdict as Verdict,
} from "../../gen/parley/session/v1/session_service_pb.js";
import { fieldInvalid } from "../../mesh/errors.ts";
import { requireId, requireIds } from "./fields.ts";
import type { SessionHandlers, SessionParts } from "./session-parts.ts";

const othersMax = 100;

/** The setting that says who may. */
const audienceColumns: Readonly<Partial<Record<Kind, string>>> = {
  [Kind.MESSAGE]: "message_audience",
  [Kind.GROUP_ADD]: "group_add_audience",
};

interface ContactRow {
  user_id: string;
  audience: Audience;
  is_friend: boolean;
  is_blocked: boolean;
}

/** Whether others let a user message or add them, as of now. */
export function checkContacts(parts: SessionParts): SessionHandlers["checkContacts"] {
  return async ({ userId, otherUserIds, kind }) => {
    requireId("user_id", userId);
    requireIds("other_user_ids", otherUserIds, othersMax);
    const column = audienceColumns[kind];
    if (!column) throw fieldInvalid("kind", `${kind} is not 1 or 2`);
    const rows = await parts.sql.query<ContactRow>(
      `SELECT user_id, ${column} AS audience,
        EXISTS (SELECT FROM friends WHERE friends.user_id = users.user_id
          AND friend_id = $1 AND state = ${FriendState.FRIENDS}) AS is_friend,
        EXISTS (SELECT FROM blocks WHERE blocks.user_id = users.user_id
          AND blocked_id = $1) AS is_blocked
      FROM users WHERE user_id = ANY($2::text[]) ORDER BY user_id`,
      [userId, otherUserIds],
    );
    return { contacts: rows.map((row) => ({ userId: row.user_id, verdict: verdictOf(row) })) };
  };
}

function verdictOf({ audience, is_friend, is_blocked }: ContactRow): Verdict {
  if (is_blocked) return Verdict.BLOCKED;
  const isIn = audience === Audience.EVERYBODY || (audience === Audience.FRIENDS && is_friend);
  return isIn ? Verdict.ALLOWED : Verdict.NOT_IN_AUDIENCE;
}
