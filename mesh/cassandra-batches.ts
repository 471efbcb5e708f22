/** Writes in batches of few partitions. */

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

/**
 * Partitions of a batch whose rows all nodes have: past it a node warns
 * (unlogged_batch_across_partitions_warn_threshold). A request costs a node more than a row does.
 */
export const batchPartitionsMax = 10;

/** Writes that travel together. */
export interface Batch {
  /** At least one. */
  writes: Write[];
  bytes: number;
}

/** Unlogged batches of up to so many partitions each. */
export function batchesOf(writes: readonly Write[], partitionsMax: number): Batch[] {
  const joined: Batch[] = [];
  let partitions = partitionsMax;
  for (const batch of ofPartitions(writes)) {
    const last = joined.at(-1);
    if (last && partitions < partitionsMax && last.bytes + batch.bytes <= batchBytesMax) {
      last.writes.push(...batch.writes);
      last.bytes += batch.bytes;
      partitions++;
    } else {
      joined.push(batch);
      partitions = 1;
    }
  }
  return joined;
}

/** Batches of one partition each. */
function ofPartitions(writes: readonly Write[]): Batch[] {
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
