import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type Audience,
  type FriendSchema,
  FriendState,
} from "../../gen/parley/session/v1/session_pb.js";
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
const friendsMax = 5_000;
/** Users whom one account may block. */
const blocksMax = 5_000;

/**
 * Runs `work` with both users locked, always in the order of their ids: requests that cross see
 * each other, and never wait for each other in a circle. Whoever keeps something of what they are
 * to each other is told after it.
 */
export async function inPair<T>(
  parts: SessionParts,
  userId: string,
  context: CallContext,
  work: (pair: Pair) => Promise<T>,
): Promise<T> {
  const callerId = callerOf(context).userId;
  const otherId = requireId("user_id", userId);
  if (otherId === callerId) throw fieldInvalid("user_id", `${otherId} is the caller`);
  const done = await parts.sql.transaction(async (transaction) => {
    const users = await transaction.query<PairedUser>(
      `SELECT ${userColumns}, friend_request_audience FROM users WHERE user_id IN ($1, $2)
      ORDER BY user_id FOR NO KEY UPDATE`,
      [callerId, otherId],
    );
    if (!users.some((user) => user.user_id === callerId)) throw callerGone();
    const rows = await transaction.query<FriendRow>(
      `SELECT user_id, state, change_time FROM friends
      WHERE (user_id = $1 AND friend_id = $2) OR (user_id = $2 AND friend_id = $1)`,
      [callerId, otherId],
    );
    const blocks = await transaction.query<{ user_id: string }>(
      `SELECT user_id FROM blocks
      WHERE (user_id = $1 AND blocked_id = $2) OR (user_id = $2 AND blocked_id = $1)`,
      [callerId, otherId],
    );
    const blockerIds = blocks.map((block) => block.user_id);
    const other = users.find((user) => user.user_id === otherId);
    const now = new Date(parts.clock.nowMs());
    return work(new Pair(transaction, { callerId, otherId, other, rows, blockerIds, now }));
  });
  parts.streams.publishAccount(callerId);
  parts.streams.publishAccount(otherId);
  return done;
}

/** A user's row, as far as another's standing hangs on it. */
type PairedUser = UserRow & { friend_request_audience: Audience };

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
  readonly other: PairedUser | undefined;
  /** How the other stands to the caller. */
  readonly mine: FriendState;
  /** How the caller stands to the other. */
  readonly theirs: FriendState;
  /** Who of the two has blocked the other. */
  readonly blockerIds: readonly string[];
  private readonly since: Date;
  private readonly now: Date;
  private readonly transaction: SqlQueries;

  constructor(
    transaction: SqlQueries,
    found: {
      callerId: string;
      otherId: string;
      other: PairedUser | undefined;
      rows: FriendRow[];
      blockerIds: string[];
      now: Date;
    },
  ) {
    this.transaction = transaction;
    this.callerId = found.callerId;
    this.otherId = found.otherId;
    this.other = found.other;
    this.blockerIds = found.blockerIds;
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

  /** The caller blocks the other. @throws DomainError TOO_MANY_BLOCKS */
  async block(): Promise<void> {
    if (this.blockerIds.includes(this.callerId)) return;
    const stored = await this.transaction.query(
      `INSERT INTO blocks (user_id, blocked_id, create_time)
      SELECT $1, $2, $3 WHERE (SELECT count(*) FROM blocks WHERE user_id = $1) < ${blocksMax}
      RETURNING 1`,
      [this.callerId, this.otherId, this.now],
    );
    if (stored.length > 0) return;
    throw sessionError("TOO_MANY_BLOCKS", `${this.callerId} has blocked ${blocksMax} users`);
  }

  /** The caller blocks the other no longer. */
  async unblock(): Promise<void> {
    await this.transaction.query("DELETE FROM blocks WHERE user_id = $1 AND blocked_id = $2", [
      this.callerId,
      this.otherId,
    ]);
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
