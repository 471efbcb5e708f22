import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { batchesOf, type Write } from "./cassandra-batches.ts";

const write = fc
  .record({ partition: fc.constantFrom("a", "b", "c"), bytes: fc.nat(8_000) })
  .map(({ partition, bytes }): Write => ({ cql: "", values: [Buffer.alloc(bytes)], partition }));

describe("batches of writes", () => {
  it("are of few partitions, below what a node warns of, and leave nothing out", () => {
    fc.assert(
      fc.property(
        fc.array(write, { maxLength: 40 }),
        fc.constantFrom(1, 2),
        (all, partitionsMax) => {
          const batches = batchesOf(all, partitionsMax);
          const batched = batches.flatMap(({ writes }) => writes);
          expect(new Set(batched)).toEqual(new Set(all));
          expect(batched).toHaveLength(all.length);
          for (const { writes, bytes } of batches) {
            const partitions = new Set(writes.map(({ partition }) => partition));
            expect(partitions.size).toBeLessThanOrEqual(partitionsMax);
            const least = writes.reduce((sum, { values }) => sum + (values[0] as Buffer).length, 0);
            expect(bytes).toBeGreaterThanOrEqual(least);
            expect(writes.length === 1 || bytes < 5 * 1_024).toBe(true);
          }
        },
      ),
    );
  });

  it("are few where several partitions may travel together", () => {
    const small = ["a", "b", "a", "c", "d", "e"].map((partition) => ({
      ...{ cql: "", partition },
      values: [1n],
    }));
    const sizes = (partitionsMax: number) =>
      batchesOf(small, partitionsMax).map(({ writes }) => writes.length);
    expect(sizes(1)).toEqual([2, 1, 1, 1, 1]);
    expect(sizes(3)).toEqual([4, 2]);
    expect(sizes(10)).toEqual([6]);
  });
});
