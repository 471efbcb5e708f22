import type { Clock } from "../../../mesh/clock.ts";
import type { MessageStore } from "./message-store.ts";
import { OrderedMessageStore } from "./message-store-ordered.ts";
import type { OrderedMap } from "./message-store-ordered-map.ts";
import type { OrderedPair } from "./message-store-rows.ts";

/**
 * A message store in memory, for simulations and unit tests. It holds the rows; each simulated
 * process has a connection of its own and may close it alone.
 */
export class MemoryMessageStoreServer {
  readonly rows = new MemoryRows();
  private readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** The store as one process has it. */
  connect(): MessageStore {
    return new OrderedMessageStore(new MemoryOrderedMap(this.rows), this.clock);
  }
}

/** Rows by key, a byte of which is a character. */
export class MemoryRows {
  readonly values = new Map<string, Buffer>();
  /** The keys of `values`, sorted. */
  private readonly keys: string[] = [];

  put(key: string, value: Buffer): void {
    if (!this.values.has(key)) this.keys.splice(this.indexOf(key), 0, key);
    this.values.set(key, value);
  }

  remove(key: string): void {
    if (this.values.delete(key)) this.keys.splice(this.indexOf(key), 1);
  }

  keysBetween(start: string, end: string): string[] {
    return this.keys.slice(this.indexOf(start), this.indexOf(end));
  }

  /** The index of the first key that is not less. */
  private indexOf(key: string): number {
    let low = 0;
    let high = this.keys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.keys[middle]! < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

class MemoryOrderedMap implements OrderedMap {
  private readonly rows: MemoryRows;
  private open = true;

  constructor(rows: MemoryRows) {
    this.rows = rows;
  }

  get(key: Buffer): Buffer | undefined {
    this.checkOpen();
    return this.rows.values.get(key.toString("latin1"));
  }

  *range(start: Buffer, end: Buffer, reverse: boolean): Generator<OrderedPair> {
    this.checkOpen();
    const keys = this.rows.keysBetween(start.toString("latin1"), end.toString("latin1"));
    if (reverse) keys.reverse();
    for (const key of keys) {
      yield { key: Buffer.from(key, "latin1"), value: this.rows.values.get(key)! };
    }
  }

  put(key: Buffer, value: Buffer): void {
    this.rows.put(key.toString("latin1"), value);
  }

  remove(key: Buffer): void {
    this.rows.remove(key.toString("latin1"));
  }

  async transaction(action: () => void): Promise<void> {
    this.checkOpen();
    action();
  }

  async close(): Promise<void> {
    this.open = false;
  }

  private checkOpen(): void {
    if (!this.open) throw new Error("closed");
  }
}
