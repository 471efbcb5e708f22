import { registryContract } from "./registry.contract.ts";
import { LocalRegistry } from "./registry-local.ts";

registryContract("LocalRegistry", async () => {
  const registry = new LocalRegistry();
  return { registry, others: registry, close: async () => {} };
});
