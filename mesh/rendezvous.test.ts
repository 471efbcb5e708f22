import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { rendezvous } from "./rendezvous.ts";

const instances = fc.uniqueArray(fc.stringMatching(/^[a-z]+-[0-9a-f]{8}$/), {
  minLength: 1,
  maxLength: 12,
});

describe("rendezvous", () => {
  it("[D3] picks the same instance whatever the order of the list", () => {
    fc.assert(
      fc.property(fc.string(), instances, (key, ids) => {
        expect(rendezvous(key, ids.toReversed())).toBe(rendezvous(key, ids));
      }),
    );
  });

  it("[D3] moves only the keys of an instance that goes", () => {
    fc.assert(
      fc.property(fc.string(), instances, (key, ids) => {
        const picked = rendezvous(key, ids)!;
        const others = ids.filter((id) => id !== ids[0]);
        if (picked !== ids[0]) expect(rendezvous(key, others)).toBe(picked);
      }),
    );
  });

  it("spreads keys evenly over instances with similar names", () => {
    const ids = ["message-0000000a", "message-0000000b", "message-0000000c", "message-0000000d"];
    const counts = new Map<string, number>(ids.map((id) => [id, 0]));
    for (let i = 0; i < 40_000; i++) {
      const picked = rendezvous(`g-${i}`, ids)!;
      counts.set(picked, counts.get(picked)! + 1);
    }
    for (const count of counts.values()) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });

  it("picks nothing from nothing", () => {
    expect(rendezvous("key", [])).toBeUndefined();
  });
});
