/** Writes in batches of one partition each. */

/** One statement. A BigInt is a bigint, a number an int, undefined leaves a column alone. */
export interface Statement {
  cql: string;
  values: readonly CassandraValue[];
}

/** A value as the driver takes and gives it. */
export type CassandraValue = string | number | bigint | boolean | Buffer | undefined;

/** A write of one row. */
export interface Write extends Statement {
  /**
   * Names the row's partition: writes of one name travel together. Tables whose partition keys
   * have the same types and values may share it: a node then writes their rows as one.
   */
  partition: string;
}

/** Bytes of a batch: from 5 KiB on a node warns (batch_size_warn_threshold). */
const batchBytesMax = 5_000;
/** What a row costs a batch besides its values; generous. */
const rowOverheadBytes = 40;

/** Writes that travel together. */
export interface Batch {
  /** At least one. */
  writes: Write[];
  bytes: number;
}

/** Unlogged batches of one partition each. */
export function batchesOf(writes: readonly Write[]): Batch[] {
  const all: Batch[] = [];
  const open = new Map<string, Batch>();
  for (const write of writes) {
    let last = open.get(write.partition);
    const bytes = bytesOf(write);
    if (!last || last.bytes + bytes > batchBytesMax) {
      last = { writes: [], bytes: 0 };
      open.set(write.partition, last);
      all.push(last);
    }
    last.writes.push(write);
    last.bytes += bytes;
  }
  return all;
}

function bytesOf({ values }: Write): number {
  let bytes = rowOverheadBytes;
  for (const value of values) {
    bytes += typeof value === "string" || Buffer.isBuffer(value) ? value.length : 8;
  }
  return bytes;
}
