import type { ClientStore } from "./client-store.ts";

const entriesName = "entries";

/**
 * A {@link ClientStore} in a browser's IndexedDB, within its quota for the site: past it, and in
 * modes that keep nothing, writes fail and the client goes on in memory. Browsers write what is
 * resolved to the disk first, where they are able to. One tab at a time is a device.
 */
export class IndexedDbClientStore implements ClientStore {
  private readonly database: IDBDatabase;

  private constructor(database: IDBDatabase) {
    this.database = database;
    // Another tab is deleting or upgrading it: don't be in the way.
    database.onversionchange = () => database.close();
  }

  /**
   * Opens the database of this name, or makes it; one for each account.
   * @throws DOMException where the browser has none to give
   */
  static async open(name: string): Promise<IndexedDbClientStore> {
    const opening = indexedDB.open(name, 1);
    opening.onupgradeneeded = () => void opening.result.createObjectStore(entriesName);
    return new IndexedDbClientStore(await resultOf(opening));
  }

  async readAll(): Promise<Iterable<readonly [string, string]>> {
    const entries = this.database.transaction(entriesName, "readonly").objectStore(entriesName);
    // In one transaction, and both by key.
    const [keys, values] = await Promise.all([
      resultOf(entries.getAllKeys()),
      resultOf(entries.getAll()),
    ]);
    return keys.map((key, i) => [key as string, values[i] as string]);
  }

  write(changed: ReadonlyMap<string, string | undefined>): Promise<void> {
    return new Promise((resolve, reject) => {
      const strict = { durability: "strict" } as const;
      const transaction = this.database.transaction(entriesName, "readwrite", strict);
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
      const entries = transaction.objectStore(entriesName);
      for (const [key, value] of changed) {
        if (value === undefined) entries.delete(key);
        else entries.put(value, key);
      }
    });
  }

  /** Lets go of the database when what is under way is written. */
  async close(): Promise<void> {
    this.database.close();
  }
}

function resultOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
