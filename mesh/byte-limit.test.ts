import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { ByteLimit } from "./byte-limit.ts";

describe("a limit of bytes", () => {
  it("begins in turn while there are fewer under way, whatever ends how", async () => {
    const limit = new ByteLimit(100);
    const begun: number[] = [];
    const ends: ((error?: Error) => void)[] = [];
    const runs = [60, 60, 1, 500, 1].map((bytes, i) =>
      limit.run(bytes, () => {
        begun.push(i);
        return new Promise<number>((resolve, reject) => {
          ends[i] = (error) => (error ? reject(error) : resolve(i));
        });
      }),
    );
    const results = Promise.allSettled(runs);
    const expectBegun = async (...expected: number[]) => {
      await setImmediate();
      expect(begun).toEqual(expected);
    };
    await expectBegun(0, 1);
    expect(limit.waits).toBe(3);
    ends[0]!(new Error("failed"));
    await expectBegun(0, 1, 2, 3);
    for (const i of [1, 2]) ends[i]!();
    await expectBegun(0, 1, 2, 3);
    ends[3]!();
    await expectBegun(0, 1, 2, 3, 4);
    ends[4]!();
    const statuses = (await results).map(({ status }) => status);
    expect(statuses).toEqual(["rejected", "fulfilled", "fulfilled", "fulfilled", "fulfilled"]);
  });
});
