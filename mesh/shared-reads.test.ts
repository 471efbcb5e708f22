import { describe, expect, it } from "vitest";
import { SharedReads } from "./shared-reads.ts";

/** Reads that end when the test says so, each with its number. */
function setUp() {
  const reads = new SharedReads<number>();
  const underWay: PromiseWithResolvers<number>[] = [];
  const ask = (key = "a") =>
    reads.read(key, () => {
      underWay.push(Promise.withResolvers());
      return underWay.at(-1)!.promise;
    });
  const end = async (n: number) => {
    underWay[n]!.resolve(n);
    await new Promise(setImmediate);
  };
  return { underWay, ask, end };
}

describe("shared reads", () => {
  it("[R1] run once at a time, and once more for all who asked meanwhile", async () => {
    const { underWay, ask, end } = setUp();
    const first = ask();
    const later = [ask(), ask(), ask()];
    expect(underWay).toHaveLength(1);
    await end(0);
    expect(underWay).toHaveLength(2);
    const last = ask();
    await end(1);
    await end(2);
    expect(underWay).toHaveLength(3);
    expect(await Promise.all([first, ...later, last])).toEqual([0, 1, 1, 1, 2]);
    await Promise.all([ask(), end(3)]);
    expect(underWay).toHaveLength(4);
  });

  it("of different things do not wait for each other", async () => {
    const { underWay, ask } = setUp();
    void ask("a");
    void ask("b");
    expect(underWay).toHaveLength(2);
  });

  it("that fail tell those who share them, and the next is begun", async () => {
    const { underWay, ask, end } = setUp();
    const first = ask();
    const [second, third] = [ask(), ask()];
    underWay[0]!.reject(new Error("away"));
    await expect(first).rejects.toThrow("away");
    await new Promise(setImmediate);
    await end(1);
    expect(await Promise.all([second, third])).toEqual([1, 1]);
  });
});
