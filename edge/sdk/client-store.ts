/**
 * Where a device keeps what must outlive the program: its position in the inbox, how far it is in
 * each channel, and the texts that are not acknowledged yet. Over a file, IndexedDB or localStorage
 * it is a dozen lines.
 */
export interface ClientStore {
  /** All entries, in any order. */
  readAll(): Promise<Iterable<readonly [key: string, value: string]>>;
  /**
   * Writes all of the entries or none; undefined removes one. Calls don't overlap. A client whose
   * store fails goes on in memory and says so (`storeFailed`).
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
    for (const [key, value] of entries) {
      if (value === undefined) this.entries.delete(key);
      else this.entries.set(key, value);
    }
  }
}
