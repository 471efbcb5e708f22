import { ManualClock } from "../../../mesh/clock-manual.ts";
import { messageStoreContract } from "./message-store.contract.ts";
import { MemoryMessageStoreServer } from "./message-store-memory.ts";

messageStoreContract("memory", async () => {
  const server = new MemoryMessageStoreServer(new ManualClock());
  return { open: async () => server.connect(), dispose: async () => {} };
});
