/**
 * Where a device keeps what must outlive the program: its position in the inbox, how far it is in
 * each channel, the newest messages, and the texts that are not acknowledged yet. Adapters: in
 * memory (here), a file in Node (`client-store-file.ts`), IndexedDB in a browser
 * (`client-store-indexeddb.ts`).
 *
 * Keys are up to 1 KB; a value is a message or less, up to 1 MB; all together stay within some
 * 40 MB (see `message-cache.ts`).
 */
export interface ClientStore {
  /** All entries, in any order: exactly what the writes that were resolved left, or a later one. */
  readAll(): Promise<Iterable<readonly [key: string, value: string]>>;
  /**
   * Writes all of the entries or none; undefined removes one. Resolved means that they outlive the
   * program, and the machine where the adapter says so. Of writes that a crash interrupts none is
   * there without those before it. Calls don't overlap. After an error either all or none are
   * written: a client tells of it (`storeFailed`) and gives them again with its next write.
   */
  write(entries: ReadonlyMap<string, string | undefined>): Promise<void>;
}

/** Keeps everything for as long as the program runs. */
export class MemoryClientStore implements ClientStore {
  private readonly entries = new Map<string, string>();

  async readAll(): Promise<Iterable<readonly [string, string]>> {
    return [...this.entries];
  }

  async write(entries: ReadonlyMap<string, string | undefined>): Promise<void> {
    applyEntries(this.entries, entries);
  }
}

/** Puts what a write says into what is known. */
export function applyEntries(
  known: Map<string, string>,
  entries: Iterable<readonly [string, string | undefined]>,
): void {
  for (const [key, value] of entries) {
    if (value === undefined) known.delete(key);
    else known.set(key, value);
  }
}
