import { expect, it } from "vitest";
import { StreamTail } from "./streams-tail.ts";

const sequencesAfter = (tail: StreamTail, sequence: number, limit: number) =>
  tail.after(sequence, limit)?.map((entry) => entry.sequence);

it("a tail knows the newest 8,192 entries", () => {
  const tail = new StreamTail();
  expect(tail.after(0, 10)).toBeUndefined();
  for (let sequence = 5; sequence < 30_000; sequence++) {
    tail.push({ sequence, subject: "a", data: new Uint8Array() });
  }
  const first = 30_000 - 8_192;
  expect(sequencesAfter(tail, first - 1, 3)).toEqual([first, first + 1, first + 2]);
  expect(tail.after(first - 2, 3)).toBeUndefined();
  expect(sequencesAfter(tail, 29_997, 10)).toEqual([29_998, 29_999]);
  expect(sequencesAfter(tail, 29_999, 10)).toEqual([]);
});

it("a tail of large entries is shorter: 16 MiB", () => {
  const tail = new StreamTail();
  const data = new Uint8Array(1 << 20);
  for (let sequence = 1; sequence <= 20; sequence++) tail.push({ sequence, subject: "a", data });
  expect(tail.after(3, 1)).toBeUndefined();
  expect(sequencesAfter(tail, 4, 20)).toHaveLength(16);
});
