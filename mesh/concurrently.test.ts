import { describe, expect, it } from "vitest";
import { concurrently } from "./concurrently.ts";

const numbers = Array.from({ length: 200 }, (_, i) => i);

describe("actions at the same time", () => {
  it("are so many at most, each once, and answer in the order of the items", async () => {
    let underWay = 0;
    let most = 0;
    const results = await concurrently(numbers, 64, async (i) => {
      most = Math.max(most, ++underWay);
      for (let turns = i % 3; turns >= 0; turns--) await Promise.resolve();
      underWay--;
      return i;
    });
    expect(most).toBe(64);
    expect(results).toEqual(numbers);
  });

  it("end with the first failure", async () => {
    const tried: number[] = [];
    const all = concurrently(numbers, 64, async (i) => {
      tried.push(i);
      if (i === 70) throw new Error("away");
    });
    await expect(all).rejects.toThrow("away");
    expect(tried.length).toBeLessThan(200);
  });
});
