/** Several instances of Session on one database, each with connections of its own. */

import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { SignUpRequestSchema } from "../../gen/parley/session/v1/session_service_pb.js";
import { systemClock as clock } from "../../mesh/clock.ts";
import { parseConfig } from "../../mesh/config.ts";
import { silentLogger as log } from "../../mesh/logger.ts";
import { LocalRegistry } from "../../mesh/registry-local.ts";
import type { CallContext } from "../../mesh/rpc.ts";
import type { Sql } from "../../mesh/sql.ts";
import { openPostgres } from "../../mesh/sql-postgres.ts";
import { makeTestDatabase, type TestDatabase } from "../../mesh/sql-postgres-under-test.ts";
import { openMemoryStreams } from "../../mesh/streams-memory.ts";
import { AssignableEdges } from "./assignable-edges.ts";
import { sessionConfig } from "./session-config.ts";
import { sessionMigrations } from "./session-schema.ts";
import { createSessionService, type RunningSessionService } from "./session-service.ts";

const instancesCount = 4;
const streams = openMemoryStreams({ clock });
const edges = new AssignableEdges(new LocalRegistry());
let database: TestDatabase;
let databases: Sql[];
let instances: RunningSessionService[];

// What they begin with is an empty database, at the same time.
beforeAll(async () => {
  database = await makeTestDatabase(inject("servers").postgresUrl);
  const open = () => openPostgres({ url: database.url, clock, log });
  databases = await Promise.all(Array.from({ length: instancesCount }, open));
  const config = parseConfig(sessionConfig, {
    PARLEY_SESSION_PASSWORD_MEMORY_KIB: "8",
    PARLEY_SESSION_PASSWORD_PASSES: "1",
  });
  const parts = { streams, edges, leaveGroups: async () => {}, clock, config, log };
  instances = await Promise.all(databases.map((sql) => createSessionService({ sql, ...parts })));
});
afterAll(async () => {
  for (const instance of instances) await instance.close();
  for (const sql of databases) await sql.close();
  await database.drop();
  await streams.close();
});

const context = {
  deadlineMs: Number.POSITIVE_INFINITY,
  signal: new AbortController().signal,
  traceParent: "",
  clientAddress: "192.0.2.1",
} as CallContext;

it("[A1] [D3] that start at once on an empty database run each migration once, and agree on a key", async () => {
  const [sql] = databases;
  const rows = await sql!.query<{ name: string }>(
    "SELECT name FROM migrations WHERE part = 'session' ORDER BY name",
  );
  expect(rows.map(({ name }) => name)).toEqual(sessionMigrations.map(({ name }) => name));
  const listed = await Promise.all(
    instances.map(
      async ({ handlers }) => (await handlers.listSigningKeys({} as never, context)).keys,
    ),
  );
  for (const keys of listed) expect(keys).toEqual(listed[0]);
  expect(listed[0]).toHaveLength(1);
});

it.each([
  ["a name", "USERNAME_TAKEN", (_n: number, name: string) => ({ username: name })],
  [
    "an address",
    "EMAIL_TAKEN",
    (n: number, name: string) => ({ username: `other-${n}-${name}`, email: `${name}@example.org` }),
  ],
])(
  "[A1] %s that all of them are asked for at once, in any case, is one account's",
  async (_what, reason, fields) => {
    for (let round = 0; round < 10; round++) {
      const outcomes = await Promise.all(
        instances.flatMap(({ handlers }, n) =>
          ["Zoe", "zoe", "ZOE"].map(async (name, i) => {
            const request = fields(3 * n + i, `${name}-${round}-${reason.slice(0, 1)}`);
            const message = create(SignUpRequestSchema, { ...request, password: "correct horse" });
            return handlers.signUp(message, context).then(
              () => "made",
              (error: { reason?: string }) => error.reason,
            );
          }),
        ),
      );
      expect(outcomes.filter((outcome) => outcome === "made")).toHaveLength(1);
      expect(new Set(outcomes)).toEqual(new Set(["made", reason]));
    }
  },
);
