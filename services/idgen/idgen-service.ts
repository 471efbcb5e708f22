/** IdGenService: reserves Snowflake ids under a leased worker id. */
import type { IdGenService } from "../../gen/parley/idgen/v1/idgen_service_pb.js";
import type { Clock } from "../../mesh/clock.ts";
import { Code, DomainError, fieldInvalid } from "../../mesh/errors.ts";
import type { Leases } from "../../mesh/leases.ts";
import { type Logger, silentLogger } from "../../mesh/logger.ts";
import type { Handlers } from "../../mesh/rpc.ts";
import type { IdGenConfig } from "./idgen-config.ts";
import { leadMaxMs, SnowflakeGenerator } from "./snowflake.ts";
import { WorkerLease } from "./worker-lease.ts";

/** What IdGen refuses for. */
export type IdGenReason = "CLOCK_BEHIND" | "NO_WORKER_ID";

/** What IdGen needs. */
export interface IdGenOptions {
  leases: Leases;
  clock: Clock;
  config: IdGenConfig;
  log?: Logger;
}

/** A running IdGen. */
export interface IdGen {
  readonly handlers: Handlers<typeof IdGenService>;
  readonly codes: Readonly<Record<IdGenReason, Code>>;
  /** Resolves when a worker id is held: until then every call is answered NO_WORKER_ID. */
  start(): Promise<void>;
  /** Gives the worker id back. What was reserved stays good. */
  close(): Promise<void>;
}

const codes = {
  CLOCK_BEHIND: Code.UNAVAILABLE,
  NO_WORKER_ID: Code.UNAVAILABLE,
} as const satisfies Record<IdGenReason, Code>;

/** The most ids to a call: 16 ms of one worker. */
const countMax = 65_536;
/** A clock that is behind is told of once in this time. */
const logEveryMs = 10_000;

/** Makes an IdGen. */
export function createIdGenService(options: IdGenOptions): IdGen {
  const { clock, log = silentLogger } = options;
  const generator = new SnowflakeGenerator();
  const { leaseMs } = options.config;
  const lease = new WorkerLease({ leases: options.leases, leaseMs, generator, clock, log });
  let loggedMs = Number.NEGATIVE_INFINITY;

  function reserve(count: number, greaterThan: bigint) {
    // No id lies further ahead than that.
    if (!lease.covers(clock.nowMs() + leadMaxMs)) {
      throw new DomainError("NO_WORKER_ID", "no worker id is leased", { retryAfterMs: 500 });
    }
    try {
      return generator.reserve(count, greaterThan, clock.nowMs());
    } catch (error) {
      if (clock.monotonicMs() - loggedMs >= logEveryMs) {
        loggedMs = clock.monotonicMs();
        log.error({ event: "clock_behind", greater_than: String(greaterThan), err: error });
      }
      throw error;
    }
  }

  return {
    handlers: {
      async reserveIds({ count, greaterThan }) {
        if (count < 1 || count > countMax) {
          throw fieldInvalid("count", `${count}, must be 1 to ${countMax}`);
        }
        if (greaterThan < 0n)
          throw fieldInvalid("greater_than", `${greaterThan}, must be 0 or more`);
        return { ranges: reserve(count, greaterThan) };
      },
    },
    codes,
    start: () => lease.start(),
    close: () => lease.close(),
  };
}
