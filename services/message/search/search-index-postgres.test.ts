import { afterAll, inject } from "vitest";
import { systemClock as clock } from "../../../mesh/clock.ts";
import { silentLogger as log } from "../../../mesh/logger.ts";
import { openPostgres } from "../../../mesh/sql-postgres.ts";
import { makeTestDatabase } from "../../../mesh/sql-postgres-under-test.ts";
import { searchIndexContract } from "./search-index.contract.ts";
import { SqlSearchIndex } from "./search-index-sql.ts";
import { emptySearchTables } from "./search-index-under-test.ts";

const database = await makeTestDatabase(inject("servers").postgresUrl);
const sql = await openPostgres({ url: database.url, clock, log });
afterAll(async () => {
  await sql.close();
  await database.drop();
});

searchIndexContract("PostgreSQL", async () => emptySearchTables(sql, new SqlSearchIndex(sql)));
