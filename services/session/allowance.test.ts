import { beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { Allowance } from "./allowance.ts";

describe("Allowance", () => {
  let clock: ManualClock;
  let allowance: Allowance;

  beforeEach(() => {
    clock = new ManualClock();
    allowance = new Allowance({ what: "tries", max: 7, periodMs: 600_000 }, clock);
  });

  const takeAll = (key: string) => {
    let taken = 0;
    try {
      for (;;) {
        allowance.take(key);
        taken++;
      }
    } catch {
      return taken;
    }
  };

  it("[O3] gives all at once and then evenly over the period", () => {
    expect(takeAll("a")).toBe(7);
    clock.advance(85_000);
    expect(takeAll("a")).toBe(0);
    clock.advance(1_000);
    expect(takeAll("a")).toBe(1);
    clock.advance(600_000);
    expect(takeAll("a")).toBe(7);
    clock.advance(6_000_000);
    expect(takeAll("a")).toBe(7);
  });

  it("[O3] says how long the next one takes, and that is enough", () => {
    takeAll("a");
    clock.advance(1_000);
    const refused = { reason: "TOO_MANY_ATTEMPTS", message: "tries: at most 7 in 10 min" };
    expect(() => allowance.take("a")).toThrowError(expect.objectContaining(refused));
    const hint = expect.objectContaining({ details: { retryAfterMs: 84_714 } });
    expect(() => allowance.take("a")).toThrowError(hint);
    clock.advance(84_714);
    expect(takeAll("a")).toBe(1);
  });

  it("[O3] keys don't share, and nobody in particular has no limit", () => {
    takeAll("a");
    expect(takeAll("b")).toBe(7);
    for (let i = 0; i < 100; i++) allowance.take("");
  });

  it("[O3] what is given back can be taken again", () => {
    takeAll("a");
    allowance.giveBack("a");
    allowance.giveBack("unknown");
    expect(takeAll("a")).toBe(1);
  });

  it("[O3] remembers 100,000 keys and forgets the least recently used", () => {
    takeAll("oldest");
    takeAll("second");
    for (let i = 0; i < 99_999; i++) allowance.take(`key-${i}`);
    expect(takeAll("second")).toBe(0);
    expect(takeAll("oldest")).toBe(7);
  });
});
