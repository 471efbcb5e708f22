import { afterAll, describe } from "vitest";
import { openPglite } from "../mesh/sql-pglite.ts";
import { SqlSearchIndex } from "../services/message/search/search-index-sql.ts";
import { findsEveryTurn } from "./search-dialogues.ts";

const sql = await openPglite();
afterAll(() => sql.close());

describe("a search in PGlite", () => findsEveryTurn(new SqlSearchIndex(sql)));
