import { describe, expect, it } from "vitest";
import { HistoryReads } from "./history-reads.ts";

/** Reads that end when they are told to. */
function reading() {
  const reads = new HistoryReads();
  const underWay: { userId: string; end: () => void }[] = [];
  const read = (userId: string) =>
    reads.run(
      userId,
      () => new Promise<void>((end) => underWay.push({ userId, end: () => end() })),
    );
  const of = (userId: string) => underWay.filter((each) => each.userId === userId);
  return { read, of, underWay };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("HistoryReads", () => {
  it("[O3] an account that asks for all it can holds up nobody else", async () => {
    const { read, of, underWay } = reading();
    const asked = Array.from({ length: 320 }, () => read("eve"));
    const refused = Promise.allSettled(asked.slice(64));
    const other = read("ann");
    await settled();
    expect([of("eve").length, of("ann").length]).toEqual([8, 1]);
    for (const { status, ...rest } of await refused) {
      expect([status, rest]).toMatchObject(["rejected", { reason: { reason: "OVERLOADED" } }]);
    }
    of("ann")[0]!.end();
    await other;
    for (let ended = 0; ended < underWay.length; ended++) {
      underWay[ended]!.end();
      await settled();
    }
    await Promise.all(asked.slice(0, 64));
    expect(of("eve")).toHaveLength(64);
  });

  it("[R1] has so many under way in all, and keeps the others waiting", async () => {
    const { read, underWay } = reading();
    const asked = Array.from({ length: 100 }, (_, i) => read(`user${i}`));
    await settled();
    expect(underWay).toHaveLength(64);
    for (let ended = 0; ended < 100; ended++) {
      underWay[ended]!.end();
      await settled();
    }
    await Promise.all(asked);
  });
});
