import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RecentMap } from "./recent-map.ts";

describe("RecentMap", () => {
  it("never tells an old value, keeps the newer half, and holds no more than its size", () => {
    const operation = fc.record({ kind: fc.constantFrom("set", "get", "delete"), key: fc.nat(30) });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
        const map = new RecentMap<number, number>(10);
        const all = new Map<number, number>();
        for (const [value, { kind, key }] of operations.entries()) {
          if (kind === "get") {
            const found = map.get(key);
            if (found !== undefined) {
              expect(found).toBe(all.get(key));
              all.delete(key);
              all.set(key, found);
            }
            continue;
          }
          all.delete(key);
          map.delete(key);
          if (kind === "delete") continue;
          all.set(key, value);
          map.set(key, value);
        }
        const held = [...all.keys()].filter((key) => map.get(key) !== undefined);
        expect(held.length).toBeLessThanOrEqual(10);
      }),
    );
  });

  it("keeps the entries that were used last", () => {
    const map = new RecentMap<number, number>(10);
    for (let key = 0; key < 1_000; key++) {
      map.set(key, key);
      expect(map.get(0)).toBe(0);
      for (let recent = Math.max(0, key - 3); recent <= key; recent++) {
        expect(map.get(recent)).toBe(recent);
      }
    }
  });
});
