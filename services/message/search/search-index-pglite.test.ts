import { afterAll } from "vitest";
import { openPglite } from "../../../mesh/sql-pglite.ts";
import { searchIndexContract } from "./search-index.contract.ts";
import { SqlSearchIndex } from "./search-index-sql.ts";
import { emptySearchTables } from "./search-index-under-test.ts";

const sql = await openPglite();
afterAll(() => sql.close());

searchIndexContract("PGlite", async () => emptySearchTables(sql, new SqlSearchIndex(sql)));
