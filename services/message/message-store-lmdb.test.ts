import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { messageStoreContract } from "./message-store.contract.ts";
import { openLmdbMessageStore } from "./message-store-lmdb.ts";

messageStoreContract("LMDB", async () => {
  const clock = new ManualClock();
  const path = await mkdtemp(join(tmpdir(), "parley-store-"));
  return {
    open: () => openLmdbMessageStore({ path, clock }),
    dispose: () => rm(path, { recursive: true }),
  };
});
