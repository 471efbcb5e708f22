import type { ClientStore } from "./client-store.ts";
import { type Entry, type LoadedState, parseEntries, userKey } from "./device-entries.ts";

/** Entries that may wait while the store fails; past it the client writes nothing more. */
export const unwrittenMax = 100_000;

/**
 * The state of one device, written to its store as it changes. What is put in one turn of the
 * event loop is there together or not at all, and nothing is there without what was put before
 * it: so a position never stands for more than the store has.
 */
export class DeviceState {
  /** As it was loaded. */
  readonly loaded: LoadedState;
  private readonly store: ClientStore | undefined;
  private readonly onFailure: (error: unknown) => void;
  private unwritten = new Map<string, string | undefined>();
  private writing: Promise<void> | undefined;
  private givenUp = false;

  private constructor(
    store: ClientStore | undefined,
    loaded: LoadedState,
    onFailure: (error: unknown) => void,
  ) {
    this.store = store;
    this.loaded = loaded;
    this.onFailure = onFailure;
  }

  /**
   * Reads the state of a user's device; without a store it is kept nowhere. What another user left
   * in the store is removed: it must not be sent in this one's name.
   */
  static async load(
    store: ClientStore | undefined,
    userId: string,
    onFailure: (error: unknown) => void,
  ): Promise<DeviceState> {
    const entries = new Map(await store?.readAll());
    const mine = entries.get(userKey) === userId;
    const state = new DeviceState(store, parseEntries(mine ? entries : []), onFailure);
    if (!mine) {
      for (const key of entries.keys()) state.put([key, undefined]);
      state.put([userKey, userId]);
    }
    return state;
  }

  /** Whether what is put is kept: else it need not be made. */
  get isKept(): boolean {
    return this.store !== undefined && !this.givenUp;
  }

  /** Keeps an entry. */
  put([key, value]: Entry): void {
    if (!this.isKept) return;
    this.unwritten.set(key, value);
    void this.flush();
  }

  /** Resolves when everything put before is in the store, or the store has failed. */
  flush(): Promise<void> {
    this.writing ??= this.write();
    return this.writing;
  }

  private async write(): Promise<void> {
    // What is put during this turn, or while a write is under way, is written in one go.
    await Promise.resolve();
    while (this.unwritten.size > 0) {
      const entries = this.unwritten;
      this.unwritten = new Map();
      try {
        await this.store!.write(entries);
      } catch (error) {
        this.onFailure(error);
        // With the next write, or never: what follows must not be there without it.
        this.unwritten = new Map([...entries, ...this.unwritten]);
        this.givenUp = this.unwritten.size > unwrittenMax;
        if (this.givenUp) this.unwritten.clear();
        break;
      }
    }
    this.writing = undefined;
  }
}
