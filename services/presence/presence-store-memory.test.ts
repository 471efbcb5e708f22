import { presenceStoreContract } from "./presence-store.contract.ts";
import { MemoryPresenceStore } from "./presence-store-memory.ts";

presenceStoreContract("memory", async () => new MemoryPresenceStore());
