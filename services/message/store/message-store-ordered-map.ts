import type { OrderedPair } from "./message-store-rows.ts";

/** A durable map from binary keys to binary values, ordered by key: what an embedded store needs. */
export interface OrderedMap {
  get(key: Buffer): Buffer | undefined;
  /** The pairs from `start`, inclusive, to `end`, exclusive; or the same from the end down. */
  range(start: Buffer, end: Buffer, reverse: boolean): Iterable<OrderedPair>;
  /** Only within a transaction. */
  put(key: Buffer, value: Buffer): void;
  /** Only within a transaction. */
  remove(key: Buffer): void;
  /** Runs the action, whose reads see its own writes; resolves when these are durable, together. */
  transaction(action: () => void): Promise<void>;
  close(): Promise<void>;
}
