import { create, toBinary } from "@bufbuild/protobuf";
import { RevocationSchema } from "../../gen/parley/log/v1/log_pb.js";
import { type Clock, sleep, type Timer } from "../../mesh/clock.ts";
import { unavailable } from "../../mesh/errors.ts";
import type { Logger } from "../../mesh/logger.ts";
import type { Sql, SqlQueries, SqlValue } from "../../mesh/sql.ts";
import type { Stream } from "../../mesh/streams.ts";

/** The subject of the revocations' stream. */
const subject = "revocation";
/** Revocations that are read and sent at a time. */
const batchMax = 100;
/** How often an append is tried, with growing pauses, before the caller is told to come again. */
const attemptsMax = 3;
const pauseMs = 50;
/** How often what was left is looked for. */
const sweepMs = 5_000;
/**
 * Devices and accounts that have ended never come back, so their revocations may reach into the
 * future: a refresh that is under way meanwhile, on an instance whose clock runs ahead, issues
 * nothing of use.
 */
const marginMs = 60_000;

interface Row {
  id: string;
  user_id: string;
  device_id: string;
  issued_before: Date;
}

/**
 * Ended sign-ins on their way to the edges. A sign-in is ended by one statement that deletes it
 * and stores its revocation; `send` appends that to the stream and deletes it. So one of both is
 * always in place: what a crash or an outage leaves is sent by any instance's next sweep. Edges
 * may get a revocation twice.
 */
export class Revocations {
  private readonly sql: Sql;
  private readonly stream: Pick<Stream, "append">;
  private readonly clock: Clock;
  private readonly log: Logger;
  private timer: Timer | undefined;
  private sweeping: Promise<void> = Promise.resolve();

  constructor(parts: { sql: Sql; stream: Pick<Stream, "append">; clock: Clock; log: Logger }) {
    this.sql = parts.sql;
    this.stream = parts.stream;
    this.clock = parts.clock;
    this.log = parts.log;
  }

  /**
   * Deletes the devices that `condition` (SQL, its parameters from $2 on) selects, and stores
   * their revocations. Follow it with `send` once it is committed.
   * @returns how many there were.
   */
  async endDevices(
    queries: SqlQueries,
    condition: string,
    params: readonly SqlValue[],
  ): Promise<number> {
    const ended = await queries.query(
      `WITH ended AS (DELETE FROM devices WHERE ${condition} RETURNING user_id, device_id)
      INSERT INTO unsent_revocations (user_id, device_id, issued_before)
      SELECT user_id, device_id, $1 FROM ended RETURNING device_id`,
      [this.issuedBefore(), ...params],
    );
    return ended.length;
  }

  /**
   * Deletes an account, if its password still has this version, with all its devices, and
   * stores a revocation. Follow it with `send`.
   * @returns whether it did.
   */
  async endAccount(userId: string, passwordVersion: number): Promise<boolean> {
    const ended = await this.sql.query(
      `WITH ended AS (
        DELETE FROM users WHERE user_id = $2 AND password_version = $3 RETURNING user_id
      )
      INSERT INTO unsent_revocations (user_id, device_id, issued_before)
      SELECT user_id, '', $1 FROM ended RETURNING user_id`,
      [this.issuedBefore(), userId, passwordVersion],
    );
    return ended.length > 0;
  }

  /**
   * Sends what is stored of a user.
   * @throws DomainError UNAVAILABLE where the stream is away; a sweep sends it later.
   */
  async send(userId: string): Promise<void> {
    await this.sendAll("WHERE user_id = $1", [userId]);
  }

  /** Sends what was left, now and every 5 s. Resolves, never rejects, after the first time. */
  start(): Promise<void> {
    this.sweeping = this.sweep().then(() => {
      this.timer = this.clock.setTimer(sweepMs, () => void this.start());
    });
    return this.sweeping;
  }

  /** Stops sweeping; what is under way ends. */
  async close(): Promise<void> {
    await this.sweeping;
    this.timer?.cancel();
  }

  private issuedBefore(): Date {
    return new Date(this.clock.nowMs() + marginMs);
  }

  private async sweep(): Promise<void> {
    try {
      await this.sendAll("", []);
    } catch (error) {
      this.log.warn({ event: "revocations_waiting", err: error });
    }
  }

  private async sendAll(condition: string, params: readonly SqlValue[]): Promise<void> {
    while ((await this.sendBatch(condition, params)) === batchMax);
  }

  private async sendBatch(condition: string, params: readonly SqlValue[]): Promise<number> {
    const rows = await this.sql.query<Row>(
      `SELECT revocation_id::text AS id, user_id, device_id, issued_before FROM unsent_revocations
      ${condition} ORDER BY revocation_id LIMIT ${batchMax}`,
      params,
    );
    if (rows.length === 0) return 0;
    await Promise.all(rows.map((row) => this.append(row)));
    await this.sql.query(
      "DELETE FROM unsent_revocations WHERE revocation_id = ANY($1::text[]::bigint[])",
      [rows.map((row) => row.id)],
    );
    return rows.length;
  }

  private async append(row: Row): Promise<void> {
    const revocation = create(RevocationSchema, {
      userId: row.user_id,
      deviceId: row.device_id,
      issuedBeforeMs: BigInt(row.issued_before.getTime()),
    });
    const data = toBinary(RevocationSchema, revocation);
    const dedupeId = `revocation-${row.id}-${row.user_id}`;
    for (let attempt = 1; ; attempt++) {
      try {
        await this.stream.append(subject, data, { dedupeId });
        return;
      } catch (error) {
        if (attempt === attemptsMax) {
          throw unavailable("revocations can't be sent now; it will be done", 1_000, error);
        }
        await sleep(this.clock, pauseMs * 2 ** attempt);
      }
    }
  }
}
