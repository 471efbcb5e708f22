import { searchIndexContract } from "./search-index.contract.ts";
import { MemorySearchIndex } from "./search-index-memory.ts";

searchIndexContract("memory", async () => new MemorySearchIndex());
