import fc from "fast-check";
import { expect, it } from "vitest";
import { planDoings } from "./replay-changes.ts";

it("[M9] nothing is done to a turn before it is said or after it is deleted, nothing is taken back that was not given", () => {
  const texts = fc.array(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 30 });
  // Numbers from 0 to below 1, the same again for the same seed.
  const random = fc.infiniteStream(fc.integer({ min: 0, max: 999 }).map((n) => n / 1_000));
  fc.assert(
    fc.property(texts, random, (texts, numbers) => {
      const doings = planDoings(texts, 1, () => numbers.next().value);
      expect(doings).toHaveLength(texts.length);
      const deleted = new Set<number>();
      const given = new Set<string>();
      for (const [last, { replyTo = 0, changes }] of doings.entries()) {
        expect(replyTo).toBeLessThanOrEqual(Math.max(0, last - 1));
        for (const change of changes) {
          expect(change.at).toBeLessThanOrEqual(last);
          expect(deleted).not.toContain(change.at);
          if (change.kind === "delete") deleted.add(change.at);
          if (change.kind === "react") given.add(`${change.at} ${change.emoji}`);
          if (change.kind === "take_back") {
            expect(given.delete(`${change.at} ${change.emoji}`)).toBe(true);
          }
        }
      }
    }),
  );
});
