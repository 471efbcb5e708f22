import { clientStoreContract } from "./client-store.contract.ts";
import { MemoryClientStore } from "./client-store.ts";

clientStoreContract("memory", async () => {
  const store = new MemoryClientStore();
  return { open: async () => store, close: async () => {} };
});
