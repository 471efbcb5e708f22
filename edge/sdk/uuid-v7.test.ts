import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UuidV7, uuidV7TimeMs } from "./uuid-v7.ts";

const form = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe("UuidV7", () => {
  it("makes ids that sort as they were made, as long as the clock steps back a little only", () => {
    const start = fc.integer({ min: 60_000, max: 2 ** 42 });
    const ahead = fc.array(fc.integer({ min: -59_000, max: 0 }), { minLength: 2, maxLength: 900 });
    fc.assert(
      fc.property(start, ahead, (startMs, steps) => {
        const ids = new UuidV7();
        const made = steps.map((step, i) => ids.next(startMs + i + step));
        expect([...made].sort()).toEqual(made);
        expect(new Set(made).size).toBe(made.length);
        for (const id of made) expect(id).toMatch(form);
      }),
    );
  });

  it("follows a clock that steps back by more than a minute, and is never far ahead of it", () => {
    const times = fc.array(fc.integer({ min: 0, max: 2 ** 42 }), { minLength: 2 });
    fc.assert(
      fc.property(times, (times) => {
        const ids = new UuidV7();
        for (const timeMs of times) {
          expect(uuidV7TimeMs(ids.next(timeMs)) - timeMs).toBeLessThanOrEqual(60_001);
        }
      }),
    );
  });

  it("carries the time", () => {
    const timeMs = Date.UTC(2026, 10, 22);
    expect(uuidV7TimeMs(new UuidV7().next(timeMs))).toBe(timeMs);
  });

  it("goes on after the ids of an earlier run", () => {
    const timeMs = Date.UTC(2026, 10, 22);
    const last = new UuidV7().next(timeMs);
    expect(new UuidV7(last).next(timeMs - 60_000) > last).toBe(true);
  });
});
