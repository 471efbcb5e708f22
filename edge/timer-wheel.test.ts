import { describe, expect, it } from "vitest";
import { ManualClock } from "../mesh/clock-manual.ts";
import { TimerWheel, type WheelItem } from "./timer-wheel.ts";

class Item implements WheelItem {
  wheelSlot = -1;
  readonly lookedAtMs: number[] = [];
  private readonly delaysMs: number[];

  constructor(...delaysMs: number[]) {
    this.delaysMs = delaysMs;
  }

  onWheel(nowMs: number): number {
    this.lookedAtMs.push(nowMs);
    return this.delaysMs.shift() ?? 0;
  }
}

function setUp() {
  const clock = new ManualClock(0);
  return { clock, wheel: new TimerWheel(clock) };
}

describe("a timer wheel", () => {
  it("looks at items when they are due, again after what they answer, and then no more", () => {
    const { clock, wheel } = setUp();
    const item = new Item(30_000, 1_000);
    wheel.add(item, 10_000);
    clock.advance(120_000);
    expect(item.lookedAtMs).toEqual([10_000, 40_000, 41_000]);
  });

  it("is never early, and late by less than a tick", () => {
    const { clock, wheel } = setUp();
    clock.advance(250);
    const item = new Item();
    wheel.add(item, 10_000);
    clock.advance(60_000);
    expect(item.lookedAtMs[0]).toBeGreaterThanOrEqual(10_250);
    expect(item.lookedAtMs[0]).toBeLessThanOrEqual(10_750);
  });

  it("looks at everything that is due in one slot", () => {
    const { clock, wheel } = setUp();
    const items = Array.from({ length: 100 }, () => new Item());
    for (const item of items) wheel.add(item, 5_000);
    clock.advance(5_000);
    expect(items.every((item) => item.lookedAtMs.length === 1)).toBe(true);
  });

  it("forgets an item that is removed, also by another of the same slot", () => {
    const { clock, wheel } = setUp();
    const removed = new Item();
    const remover: WheelItem = {
      wheelSlot: -1,
      onWheel() {
        wheel.remove(removed);
        return 0;
      },
    };
    wheel.add(remover, 1_000);
    wheel.add(removed, 1_000);
    clock.advance(10_000);
    expect(removed.lookedAtMs).toEqual([]);
  });

  it("looks at nothing once it is stopped", () => {
    const { clock, wheel } = setUp();
    const item = new Item();
    wheel.add(item, 1_000);
    wheel.stop();
    clock.advance(10_000);
    expect(item.lookedAtMs).toEqual([]);
  });
});
