import { afterAll, describe, inject } from "vitest";
import { systemClock as clock } from "../mesh/clock.ts";
import { silentLogger as log } from "../mesh/logger.ts";
import { openPostgres } from "../mesh/sql-postgres.ts";
import { makeTestDatabase } from "../mesh/sql-postgres-under-test.ts";
import { SqlSearchIndex } from "../services/message/search/search-index-sql.ts";
import { findsEveryTurn } from "./search-dialogues.ts";

const database = await makeTestDatabase(inject("servers").postgresUrl);
const sql = await openPostgres({ url: database.url, clock, log });
afterAll(async () => {
  await sql.close();
  await database.drop();
});

describe("a search in PostgreSQL", () => findsEveryTurn(new SqlSearchIndex(sql)));
