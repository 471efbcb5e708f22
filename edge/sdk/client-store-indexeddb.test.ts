import "fake-indexeddb/auto";
import { expect, it } from "vitest";
import { clientStoreContract } from "./client-store.contract.ts";
import { IndexedDbClientStore } from "./client-store-indexeddb.ts";

let databases = 0;

clientStoreContract("IndexedDB", async () => {
  const name = `device-${databases++}`;
  let store: IndexedDbClientStore;
  return {
    async open() {
      store = await IndexedDbClientStore.open(name);
      return store;
    },
    close: () => store.close(),
  };
});

it("[K3] a database that was closed refuses what is written", async () => {
  const store = await IndexedDbClientStore.open("closed");
  await store.close();
  await expect(store.write(new Map([["position", "1"]]))).rejects.toThrow();
});
