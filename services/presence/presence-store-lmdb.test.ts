import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { presenceStoreContract } from "./presence-store.contract.ts";
import { openLmdbPresenceStore } from "./presence-store-lmdb.ts";

let folder: string;
let stores = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "parley-presence-"));
});
afterAll(() => rm(folder, { recursive: true }));

presenceStoreContract("LMDB", () => openLmdbPresenceStore({ path: join(folder, `${stores++}`) }));

it("[P1] rows outlive the process", async () => {
  const path = join(folder, "kept");
  const row = { userId: "anna", isOnline: true, lastActiveMs: 1_767_225_600_000 };
  const before = await openLmdbPresenceStore({ path });
  await before.put([row]);
  await before.close();
  const after = await openLmdbPresenceStore({ path });
  expect(await after.get(["anna"])).toEqual([row]);
  await after.close();
});
