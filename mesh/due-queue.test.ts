import fc from "fast-check";
import { expect, it } from "vitest";
import { type Due, DueQueue } from "./due-queue.ts";

it("gives the earliest first, whatever is added and removed in between", () => {
  const step = fc.record({ dueMs: fc.nat(20), remove: fc.option(fc.nat(100)) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new DueQueue<Due>();
      const model: Due[] = [];
      for (const { dueMs, remove } of steps) {
        const item = { dueMs: 0, dueIndex: -1 };
        queue.add(item, dueMs);
        model.push(item);
        if (remove !== null) {
          const [removed] = model.splice(remove % model.length, 1);
          queue.remove(removed!);
          queue.remove(removed!);
        }
        const earliestMs = Math.min(...model.map((each) => each.dueMs));
        expect(queue.first?.dueMs ?? Number.POSITIVE_INFINITY).toBe(earliestMs);
      }
    }),
  );
});
