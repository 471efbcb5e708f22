/** A Session service for tests: a database, streams in memory, a clock that stands still. */
import { create, type DescMethodUnary, fromBinary } from "@bufbuild/protobuf";
import { inject } from "vitest";
import { type Revocation, RevocationSchema } from "../../gen/parley/log/v1/log_pb.js";
import {
  SessionService,
  type SignUpResponse,
} from "../../gen/parley/session/v1/session_service_pb.js";
import { systemClock } from "../../mesh/clock.ts";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { parseConfig } from "../../mesh/config.ts";
import { Code, RpcError } from "../../mesh/errors.ts";
import { silentLogger } from "../../mesh/logger.ts";
import { LocalRegistry } from "../../mesh/registry-local.ts";
import type { CallContext, Client, Identity } from "../../mesh/rpc.ts";
import type { Sql } from "../../mesh/sql.ts";
import { openPglite } from "../../mesh/sql-pglite.ts";
import { openPostgres } from "../../mesh/sql-postgres.ts";
import { makeTestDatabase } from "../../mesh/sql-postgres-under-test.ts";
import { AppendOutcomeUnknown, type Streams } from "../../mesh/streams.ts";
import { openMemoryStreams } from "../../mesh/streams-memory.ts";
import { AssignableEdges } from "./assignable-edges.ts";
import { sessionConfig } from "./session-config.ts";
import { createSessionService, type RunningSessionService } from "./session-service.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** What these tests run on; see vitest.config.ts. */
    sql?: "postgres";
  }
}

/** Calls the service as a mesh does. */
export type SessionClient = Client<typeof SessionService>;

/** A user, signed in on a device. */
export interface Someone extends Identity {
  username: string;
  calls: SessionClient;
}

type Fields = Record<string, unknown>;

/** The environment of tests: passwords cost nothing. */
const testEnvironment = {
  PARLEY_SESSION_PASSWORD_MEMORY_KIB: "8",
  PARLEY_SESSION_PASSWORD_PASSES: "1",
};

/** What a test file shares. */
export class TestSession {
  readonly clock: ManualClock = new ManualClock();
  readonly streams: Streams = openMemoryStreams({ clock: this.clock });
  readonly sql: Sql;
  /** Of edges. */
  readonly registry: LocalRegistry = new LocalRegistry();
  readonly edges: AssignableEdges = new AssignableEdges(this.registry);
  service!: RunningSessionService;
  /** Accounts that others were told of. */
  readonly changed: string[] = [];
  /** Accounts that have left their groups. */
  readonly groupsLeftBy: string[] = [];
  isMessageAway = false;
  /** So many appends of revocations fail from now on. */
  appendsToFail = 0;
  private count = 0;

  private readonly drop: () => Promise<void>;

  constructor(sql: Sql, drop: () => Promise<void>) {
    this.sql = sql;
    this.drop = drop;
  }

  /** Takes 2 s: once a file. */
  static async open(environment: Record<string, string> = {}): Promise<TestSession> {
    const session = await (inject("sql") === "postgres" ? onPostgres() : onPglite());
    await session.restart(environment);
    return session;
  }

  /** Begins again on the same database and streams, as after a crash. */
  async restart(environment: Record<string, string> = {}): Promise<void> {
    await this.service?.close();
    const { sql, clock, edges } = this;
    this.service = await createSessionService({
      sql,
      clock,
      edges,
      leaveGroups: async ({ userId }) => {
        if (this.isMessageAway) throw new RpcError(Code.UNAVAILABLE, "UNAVAILABLE", "is away");
        this.groupsLeftBy.push(userId);
      },
      streams: {
        publishAccount: (userId) => this.changed.push(userId),
        revocations: {
          append: async (...args) => {
            if (this.appendsToFail-- > 0) throw new AppendOutcomeUnknown("cut off");
            return this.streams.revocations.append(...args);
          },
        },
      },
      config: parseConfig(sessionConfig, { ...testEnvironment, ...environment }),
    });
  }

  async close(): Promise<void> {
    await this.service.close();
    await this.sql.close();
    await this.drop();
    await this.streams.close();
  }

  /** The service as a device sees it, or somebody who is not signed in. */
  as(device?: Identity, context: Partial<CallContext> = {}): SessionClient {
    const { handlers } = this.service;
    const calls = Object.entries(SessionService.method).map(([name, method]) => [
      name,
      async (request: Fields) => {
        const handler = handlers[name as "signUp"] as (...args: unknown[]) => Promise<Fields>;
        const { input, output }: DescMethodUnary = method;
        const answer = await handler(create(input, request), { ...contextOf(device), ...context });
        return create(output, answer);
      },
    ]);
    return Object.fromEntries(calls);
  }

  /** Signs a new user up, by default with a name of its own. */
  async signUp(
    request: { username?: string; password?: string; email?: string; deviceName?: string } = {},
  ): Promise<Identity & SignUpResponse> {
    const signUp = { username: `user-${++this.count}`, password: "correct horse", ...request };
    const answer = await this.as().signUp(signUp);
    return { ...answer, userId: answer.user!.userId };
  }

  /** A new user. */
  async someone(): Promise<Someone> {
    const { user, userId, deviceId } = await this.signUp();
    const calls = this.as({ userId, deviceId });
    return { userId, deviceId, username: user!.username, calls };
  }

  /** The user's revocations that edges have been told. */
  async revocationsOf(userId: string): Promise<Revocation[]> {
    const { entries } = await this.streams.revocations.read("revocation");
    const all = entries.map((entry) => fromBinary(RevocationSchema, entry.data));
    return all.filter((revocation) => revocation.userId === userId);
  }

  /** Lets the pauses of a call pass until it settles. */
  async throughPauses<T>(call: Promise<T>): Promise<T> {
    const pauseMaxMs = 1_000;
    let settled = false;
    const onSettled = () => {
      settled = true;
    };
    call.then(onSettled, onSettled);
    while (!settled) {
      const waitMs = (this.clock.nextDueMs() ?? 0) - this.clock.monotonicMs();
      if (waitMs > 0 && waitMs <= pauseMaxMs) this.clock.advance(waitMs);
      await new Promise(setImmediate);
    }
    return call;
  }
}

/** Makes two users friends. */
export async function befriend(one: Someone, other: Someone): Promise<void> {
  await one.calls.requestFriend({ userId: other.userId });
  await other.calls.acceptFriend({ userId: one.userId });
}

function contextOf(identity: Identity | undefined): CallContext {
  return {
    identity,
    deadlineMs: Number.POSITIVE_INFINITY,
    signal: new AbortController().signal,
    traceParent: "",
    clientAddress: "192.0.2.1",
  };
}

async function onPglite(): Promise<TestSession> {
  return new TestSession(await openPglite(), async () => {});
}

async function onPostgres(): Promise<TestSession> {
  const { url, drop } = await makeTestDatabase(inject("servers").postgresUrl);
  const options = { url, clock: systemClock, log: silentLogger };
  return new TestSession(await openPostgres(options), drop);
}
