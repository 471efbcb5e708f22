import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type FriendSchema, FriendState } from "../../gen/parley/session/v1/session_pb.js";
import { fieldInvalid } from "../../mesh/errors.ts";
import type { CallContext } from "../../mesh/rpc.ts";
import type { SqlQueries } from "../../mesh/sql.ts";
import { requireId } from "./fields.ts";
import { sessionError } from "./session-errors.ts";
import {
  callerGone,
  callerOf,
  type SessionParts,
  toUser,
  type UserRow,
  userColumns,
} from "./session-parts.ts";

/** Friends and unanswered requests of one's own, together; and requests by others. */
export const friendsMax = 5_000;

/**
 * Runs `work` with both users locked, always in the order of their ids: requests that cross see
 * each other, and never wait for each other in a circle.
 */
export function inPair<T>(
  parts: SessionParts,
  userId: string,
  context: CallContext,
  work: (pair: Pair) => Promise<T>,
): Promise<T> {
  const callerId = callerOf(context).userId;
  const otherId = requireId("user_id", userId);
  if (otherId === callerId) throw fieldInvalid("user_id", `${otherId} is the caller`);
  return parts.sql.transaction(async (transaction) => {
    const users = await transaction.query<UserRow>(
      `SELECT ${userColumns} FROM users WHERE user_id IN ($1, $2)
      ORDER BY user_id FOR NO KEY UPDATE`,
      [callerId, otherId],
    );
    if (!users.some((user) => user.user_id === callerId)) throw callerGone();
    const rows = await transaction.query<FriendRow>(
      `SELECT user_id, state, change_time FROM friends
      WHERE (user_id = $1 AND friend_id = $2) OR (user_id = $2 AND friend_id = $1)`,
      [callerId, otherId],
    );
    const other = users.find((user) => user.user_id === otherId);
    const now = new Date(parts.clock.nowMs());
    return work(new Pair(transaction, { callerId, otherId, other, rows, now }));
  });
}

interface FriendRow {
  user_id: string;
  state: FriendState;
  change_time: Date;
}

/** How two locked users stand to each other, and what changes it. */
export class Pair {
  readonly callerId: string;
  readonly otherId: string;
  /** Undefined: there is no such user. */
  readonly other: UserRow | undefined;
  /** How the other stands to the caller. */
  readonly mine: FriendState;
  /** How the caller stands to the other. */
  readonly theirs: FriendState;
  private readonly since: Date;
  private readonly now: Date;
  private readonly transaction: SqlQueries;

  constructor(
    transaction: SqlQueries,
    found: {
      callerId: string;
      otherId: string;
      other: UserRow | undefined;
      rows: FriendRow[];
      now: Date;
    },
  ) {
    this.transaction = transaction;
    this.callerId = found.callerId;
    this.otherId = found.otherId;
    this.other = found.other;
    this.now = found.now;
    const mine = found.rows.find((row) => row.user_id === found.callerId);
    const theirs = found.rows.find((row) => row.user_id === found.otherId);
    this.mine = mine?.state ?? FriendState.UNSPECIFIED;
    this.theirs = theirs?.state ?? FriendState.UNSPECIFIED;
    this.since = mine?.change_time ?? found.now;
  }

  /** The other, standing as stored. */
  asFriend(): MessageInitShape<typeof FriendSchema> {
    return this.friend(this.mine, this.since);
  }

  /** Changes how they stand. */
  async put(
    mine: FriendState,
    theirs: FriendState,
  ): Promise<MessageInitShape<typeof FriendSchema>> {
    await this.transaction.query(
      `INSERT INTO friends (user_id, friend_id, state, change_time)
      VALUES ($1, $2, $3, $5), ($2, $1, $4, $5)
      ON CONFLICT (user_id, friend_id)
      DO UPDATE SET state = EXCLUDED.state, change_time = EXCLUDED.change_time`,
      [this.callerId, this.otherId, mine, theirs, this.now],
    );
    return this.friend(mine, this.now);
  }

  /** Removes the rows of one or both. */
  async delete(userIds: string[]): Promise<void> {
    await this.transaction.query(
      "DELETE FROM friends WHERE user_id = ANY($1::text[]) AND friend_id IN ($2, $3)",
      [userIds, this.callerId, this.otherId],
    );
  }

  /** @throws DomainError TOO_MANY_FRIENDS where the user has the most of these states. */
  async requireRoom(userId: string, states: FriendState[], what: string): Promise<void> {
    const [row] = await this.transaction.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM friends WHERE user_id = $1 AND state IN (${states})`,
      [userId],
    );
    if (row!.count < friendsMax) return;
    throw sessionError("TOO_MANY_FRIENDS", `${userId} has ${friendsMax} ${what}`);
  }

  private friend(state: FriendState, since: Date): MessageInitShape<typeof FriendSchema> {
    return { user: toUser(this.other!), state, changeTime: timestampFromDate(since) };
  }
}
