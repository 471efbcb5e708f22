import type { Clock } from "../../mesh/clock.ts";
import { type Logger, silentLogger } from "../../mesh/logger.ts";
import type { Sql } from "../../mesh/sql.ts";
import { migrate } from "../../mesh/sql-migrations.ts";
import type { Stream, Streams } from "../../mesh/streams.ts";
import { Allowance } from "./allowance.ts";
import { assignEdge } from "./assign-edge.ts";
import type { AssignableEdges } from "./assignable-edges.ts";
import { blockHandlers } from "./blocks.ts";
import { changePassword } from "./change-password.ts";
import { channelMuteHandlers } from "./channel-mutes.ts";
import { checkContacts } from "./contacts.ts";
import { deleteAccount } from "./delete-account.ts";
import { deviceHandlers } from "./devices.ts";
import { friendHandlers } from "./friends.ts";
import { listFriendHandlers } from "./list-friends.ts";
import { listUsers } from "./list-users.ts";
import { logIn } from "./log-in.ts";
import { Passwords } from "./passwords.ts";
import { profileHandlers } from "./profile.ts";
import { pushTokenHandlers } from "./push-tokens.ts";
import { refreshTokens } from "./refresh-tokens.ts";
import { Revocations } from "./revocations.ts";
import type { SessionConfig } from "./session-config.ts";
import { sessionCodes } from "./session-errors.ts";
import type { SessionHandlers, SessionParts } from "./session-parts.ts";
import { sessionMigrations } from "./session-schema.ts";
import { settingsHandlers } from "./settings.ts";
import { signUp } from "./sign-up.ts";
import { SigningKeys } from "./signing-keys.ts";

/** What the service is made of. It closes none of it. */
export interface SessionServiceOptions {
  sql: Sql;
  streams: Pick<Streams, "publishAccount"> & { revocations: Pick<Stream, "append"> };
  edges: Pick<AssignableEdges, "choose">;
  /** See {@link SessionParts.leaveGroups}. */
  leaveGroups: SessionParts["leaveGroups"];
  clock: Clock;
  config: SessionConfig;
  log?: Logger;
}

/** The service, ready to be served. */
export interface RunningSessionService {
  handlers: SessionHandlers;
  codes: typeof sessionCodes;
  /** Stops what runs in the background. */
  close(): Promise<void>;
}

/**
 * Makes the Session service: brings its tables up to date, makes a signing key where there is
 * none, and sends the revocations that a crash or an outage has left.
 *
 * @throws what the database throws; try again.
 */
export async function createSessionService(
  options: SessionServiceOptions,
): Promise<RunningSessionService> {
  const { sql, streams, edges, leaveGroups, clock, config, log = silentLogger } = options;
  await migrate(sql, "session", sessionMigrations);

  const signingKeys = new SigningKeys(sql, clock, config);
  await signingKeys.current();
  const revocations = new Revocations({ sql, stream: streams.revocations, clock, log });
  await revocations.start();

  const passwords = new Passwords(config, clock);
  const allowances = makeAllowances(config, clock);
  const shared = { sql, streams, edges, leaveGroups, clock, config };
  const parts = { ...shared, passwords, signingKeys, revocations, allowances };
  return {
    handlers: {
      signUp: signUp(parts),
      logIn: logIn(parts),
      refreshTokens: refreshTokens(parts),
      assignEdge: assignEdge(parts),
      ...deviceHandlers(parts),
      ...profileHandlers(parts),
      ...settingsHandlers(parts),
      changePassword: changePassword(parts),
      deleteAccount: deleteAccount(parts),
      listUsers: listUsers(parts),
      ...friendHandlers(parts),
      ...listFriendHandlers(parts),
      ...pushTokenHandlers(parts),
      ...blockHandlers(parts),
      checkContacts: checkContacts(parts),
      ...channelMuteHandlers(parts),
      listSigningKeys: async () => ({ keys: await signingKeys.list() }),
    },
    codes: sessionCodes,
    async close() {
      await revocations.close();
      passwords.close();
    },
  };
}

function makeAllowances(config: SessionConfig, clock: Clock): SessionParts["allowances"] {
  const minuteMs = 60_000;
  const allow = (what: string, max: number, periodMs: number) =>
    new Allowance({ what, max, periodMs }, clock);
  const ofAccount = () =>
    allow("wrong passwords for this account", config.wrongPasswordsPerAccountMax, 10 * minuteMs);
  return {
    signUps: allow("sign-ups from this address", config.signUpsPerAddressMax, 60 * minuteMs),
    assignments: allow(
      "assignments of edges to this address",
      config.assignmentsPerAddressMax,
      10 * minuteMs,
    ),
    wrongPasswords: {
      ofAddress: allow(
        "wrong passwords from this address",
        config.wrongPasswordsPerAddressMax,
        10 * minuteMs,
      ),
      ofAddressForAccount: allow(
        "wrong passwords from this address for this account",
        config.wrongPasswordsPerAddressAndAccountMax,
        10 * minuteMs,
      ),
      ofAccount: ofAccount(),
      ofAccountAtHome: ofAccount(),
    },
  };
}
