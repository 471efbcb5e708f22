import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { TurnBatch } from "./turn-batch.ts";

const limits = { itemsMax: 3, bytesMax: 100, queueItemsMax: 8, queueBytesMax: 400 };

function collecting(takes: () => boolean = () => true) {
  const batches: number[][] = [];
  const batch = new TurnBatch<number>(limits, (items) => {
    batches.push(items);
    return takes();
  });
  return { batch, batches };
}

describe("TurnBatch", () => {
  it("hands over together what was added in one turn of the event loop", async () => {
    const { batch, batches } = collecting();
    batch.add(1, 10);
    batch.add(2, 10);
    await turn();
    batch.add(3, 10);
    await turn();
    expect(batches).toEqual([[1, 2], [3]]);
  });

  it("splits by items and by bytes, and lets a large item travel alone", async () => {
    const { batch, batches } = collecting();
    for (const item of [1, 2, 3, 4]) batch.add(item, 10);
    batch.add(5, 95);
    batch.add(6, 150);
    await turn();
    expect(batches).toEqual([[1, 2, 3], [4], [5], [6]]);
  });

  it("keeps what waits while the other side is full, and goes on in order", async () => {
    let isFull = true;
    const { batch, batches } = collecting(() => !isFull);
    for (const item of [1, 2, 3, 4, 5]) batch.add(item, 1);
    await turn();
    expect(batches).toEqual([[1, 2, 3]]);
    batch.add(6, 1);
    await turn();
    isFull = false;
    batch.resume();
    await turn();
    expect(batches).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
  });

  it("refuses what exceeds the queue in items or bytes", () => {
    const { batch } = collecting();
    for (let item = 0; item < 8; item++) expect(batch.add(item, 1)).toBe(true);
    expect(batch.add(8, 1)).toBe(false);
    const bytes = collecting().batch;
    expect(bytes.add(1, 400)).toBe(true);
    expect(bytes.add(2, 1)).toBe(false);
  });
});
