/** What the tests of the search index in a database share. */
import type { Sql } from "../../../mesh/sql.ts";
import type { SqlSearchIndex } from "./search-index-sql.ts";

/** The index, with nothing in it. */
export async function emptySearchTables(sql: Sql, index: SqlSearchIndex): Promise<SqlSearchIndex> {
  await index.apply({ texts: [], memberships: [], channels: [] });
  await sql.query("TRUNCATE search_texts, search_stays, search_channels");
  return index;
}
