import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../mesh/clock-manual.ts";
import { openDatabase, openLmdb } from "../../../mesh/lmdb.ts";
import { messageStoreContract } from "./message-store.contract.ts";
import { openLmdbMessageStore, StoreFormatDiffers } from "./message-store-lmdb.ts";

messageStoreContract("LMDB", async () => {
  const clock = new ManualClock();
  const path = await mkdtemp(join(tmpdir(), "parley-store-"));
  return {
    open: () => openLmdbMessageStore({ path, clock }),
    dispose: () => rm(path, { recursive: true }),
  };
});

describe("a folder with another version's messages", () => {
  it("[H1] is refused rather than shown as empty", async () => {
    const path = await mkdtemp(join(tmpdir(), "parley-store-"));
    const environment = openLmdb(path);
    await openDatabase(environment, "rows").put(Buffer.from("a"), Buffer.from("b"));
    await environment.close();
    const opened = openLmdbMessageStore({ path, clock: new ManualClock() });
    await expect(opened).rejects.toThrow(StoreFormatDiffers);
    await expect(opened).rejects.toThrow(`${path} are of another version`);
    await rm(path, { recursive: true });
  });
});
