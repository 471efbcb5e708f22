import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { batchesOf, type Write } from "./cassandra-batches.ts";

const write = fc
  .record({ partition: fc.constantFrom("a", "b", "c"), bytes: fc.nat(8_000) })
  .map(({ partition, bytes }): Write => ({ cql: "", values: [Buffer.alloc(bytes)], partition }));

describe("batches of writes", () => {
  it("are of one partition each, below what a node warns of, and leave nothing out", () => {
    fc.assert(
      fc.property(fc.array(write, { maxLength: 40 }), (all) => {
        const batches = batchesOf(all);
        const batched = batches.flatMap(({ writes }) => writes);
        expect(new Set(batched)).toEqual(new Set(all));
        expect(batched).toHaveLength(all.length);
        for (const { writes, bytes } of batches) {
          expect(new Set(writes.map(({ partition }) => partition)).size).toBe(1);
          const least = writes.reduce((sum, { values }) => sum + (values[0] as Buffer).length, 0);
          expect(bytes).toBeGreaterThanOrEqual(least);
          expect(writes.length === 1 || bytes < 5 * 1_024).toBe(true);
        }
      }),
    );
  });
});
